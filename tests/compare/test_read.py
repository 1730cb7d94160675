from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.synthetic import evaluation, write_run
from trpo_cli.compare.read import find_runs, flatten
from trpo_cli.errors import UserError


def test_finds_runs_below_folders_once_each(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "deep" / "er", seed=1)
    write_run(tmp_path / "b", seed=2)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("hidden: true")
    found = find_runs([str(tmp_path), str(tmp_path / "a")])
    assert [run.seed for run in found.runs] == [1, 2]
    assert found.notes == []
    run = found.runs[0]
    assert run.env == "Hopper-v4" and run.finished and run.steps == 24_000
    assert run.config["algo.max_kl"] == 0.01
    assert run.versions["mujoco"] == "3.17.0" and run.versions["trpo_cli"] == "0.1.0"
    assert run.columns["step"].tolist()[:2] == [2000, 4000]
    assert math.isnan(run.columns["train/return_recent"][0])  # null in the file
    assert run.words["trust_region/reason"] == {"": 12}


def test_a_torn_last_line_is_not_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rows=5)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 99999, "itera')
    (found,) = find_runs([str(tmp_path)]).runs
    assert found.columns["step"].size == 5


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("metrics.jsonl", "", "no complete line"),
        ("metrics.jsonl", '{"step": 1}\nnonsense\n', "not JSON Lines"),
        ("metrics.jsonl", '{"step": 2}\n{"step": 1}\n', "do not increase"),
        ("metrics.jsonl", "[1, 2]\n", "not objects"),
        ("manifest.json", None, "no manifest.json"),
        ("manifest.json", "[]", "manifest.json is not one"),
        ("config.yaml", "- a\n", "config.yaml is not one"),
        ("config.yaml", "a: [", "while parsing"),
    ],
)
def test_broken_runs_are_left_out_with_a_reason(
    tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    write_run(tmp_path / "good")
    path = write_run(tmp_path / "bad") / name
    path.unlink() if text is None else path.write_text(text)
    found = find_runs([str(tmp_path)])
    assert [run.path.name for run in found.runs] == ["good"]
    (note,) = found.notes
    assert str(tmp_path / "bad") in note and why in note


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run to read below"):
        find_runs([str(tmp_path)])


def test_a_folder_misspelt(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    with pytest.raises(UserError, match=r"outptus does not exist.*Did you mean .*outputs\?"):
        find_runs([str(tmp_path / "outptus")])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, not a folder"):
        find_runs([str(tmp_path / "file")])


def test_files_that_a_pattern_caught_beside_folders(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run.log").touch()
    found = find_runs([str(tmp_path / "run"), str(tmp_path / "run.log")])
    assert len(found.runs) == 1 and "run.log is a file" in found.notes[0]


def test_eval_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    lines = [evaluation(100, 3.0), evaluation(24_000, 4.0, checkpoint="best")]
    write_run(tmp_path / "run", evals=lines)
    assert find_runs([str(tmp_path)]).runs[0].evals == lines


def test_flatten() -> None:
    nested = {"a": 1, "b": {"c": [1, 2], "d": {"e": None}}, "f": {}, "env": {"kwargs": {"g": 2}}}
    flat = {"a": 1, "b.c": [1, 2], "b.d.e": None, "f": {}, "env.kwargs": {"g": 2}}
    assert flatten(nested) == flat


def test_the_command_loads_no_heavy_library() -> None:
    """What takes seconds to import, in a fresh process, with everything the report needs."""
    code = (
        "import sys\n"
        "import trpo_cli.commands.compare, trpo_cli.compare.drawing\n"
        "print(sorted({'torch', 'gymnasium', 'hydra', 'scipy', 'omegaconf', 'mujoco',"
        " 'matplotlib.pyplot', 'tensorboard'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
