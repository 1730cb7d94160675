from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.synthetic import evaluation, write_run
from trpo_cli.compare.groups import file_name
from trpo_cli.compare.read import find_runs, flatten, unchecked
from trpo_cli.compare.sweep import Sweep
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


def changed(path: Path, key: str, value: Any) -> None:
    """Put a value into each object of a file of a run."""
    text = path.read_text()
    if path.suffix == ".yaml":
        path.write_text(yaml.safe_dump(nested(yaml.safe_load(text), key, value)))
    else:
        rows = [nested(json.loads(line), key, value) for line in text.splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def nested(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    place = content
    *above, last = key.split(".") if key.startswith(("algo", "env", "eval")) else [key]
    for name in above:
        place = place[name]
    place[last] = value
    return content


@pytest.mark.parametrize(
    ("name", "key", "value", "why"),
    [
        ("config.yaml", "total_steps", "1000p", "total_steps='1000p'"),
        ("config.yaml", "total_steps", True, "total_steps=True"),
        ("config.yaml", "total_steps", 0, "not one of a run"),
        ("config.yaml", "seed", [1], r"seed=\[1\]"),
        ("config.yaml", "seed", 10**3999, "a seed of 13285 bits"),  # 3999 log2(10) = 13284.4
        ("config.yaml", "env.id", None, "env.id=None"),
        ("config.yaml", "eval.deterministic", [], r"eval.deterministic=\[\]"),
        ("config.yaml", "algo.max_kl", "much", "algo.max_kl='much'"),
        ("manifest.json", "versions", [1, 2], r"versions=\[1, 2\]"),
        ("manifest.json", "versions", {"mujoco": 3}, "versions="),
        ("manifest.json", "status", None, "status=None"),
        ("metrics.jsonl", "train/return_recent", 10**3999, "too large"),
        ("metrics.jsonl", "train/return_recent", 1e200, "not a number everywhere"),
        ("metrics.jsonl", "train/return_recent", "much", "could not convert"),
        ("metrics.jsonl", "train/return_recent", [1], "not a number everywhere"),
        ("metrics.jsonl", "seconds", None, "not every row of its metrics.jsonl has seconds"),
        ("eval.jsonl", "return_mean", "much", "line 1 of its eval.jsonl"),
        ("eval.jsonl", "episodes", None, "line 1 of its eval.jsonl"),
    ],
)
def test_values_of_a_wrong_kind_leave_a_run_out(
    tmp_path: Path, name: str, key: str, value: Any, why: str
) -> None:
    write_run(tmp_path / "good")
    changed(write_run(tmp_path / "bad") / name, key, value)
    found = find_runs([str(tmp_path)])
    assert [run.path.name for run in found.runs] == ["good"]
    assert len(found.notes) == 1 and found.notes[0].startswith(f"{tmp_path / 'bad'} is left out: ")
    assert re.search(why, found.notes[0]) and len(found.notes[0]) < 400


def test_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    """An escape would repaint the terminal, a slash choose another folder."""
    path = write_run(tmp_path / "a\x1b[2J\udcff")
    changed(path / "config.yaml", "env.id", "Hop\x1b[31mper\u202e-v4")
    (run,) = find_runs([str(tmp_path)]).runs
    assert run.env == "Hop\\x1b[31mper\\u202e-v4"
    assert run.path.name == "a\\x1b[2J\\udcff"


def test_a_long_name_makes_no_long_file() -> None:
    """255 bytes are the most on most file systems, and a name holds two of them."""
    first, second = file_name("x" * 300), file_name("x" * 299 + "y")
    assert first != second and len(first.encode()) < 80


def test_a_slash_in_a_name_makes_no_folder(tmp_path: Path) -> None:
    assert Sweep("ALE/Pong-v5", "../../up", [], [], [], []).file_name == "ALE_Pong-v5_______up"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("metrics.jsonl", "", "no complete line"),
        ("metrics.jsonl", '{"step": 1}\nnonsense\n', "not JSON Lines"),
        ("metrics.jsonl", '{"step": 2}\n{"step": 1}\n', "do not increase"),
        ("metrics.jsonl", "[1, 2]\n", "not objects"),
        ("manifest.json", None, "no manifest.json"),
        ("manifest.json", "[]", "manifest.json cannot be read as a manifest"),
        ("config.yaml", "- a\n", "config.yaml is not one"),
        ("config.yaml", "a: [", "while parsing"),
        ("config.yaml", "a: &x [*x]", "an alias, *x, on line 1"),
        ("config.yaml", "a: " + 33 * "[" + 33 * "]", "nested deeper than 32 levels"),
        ("config.yaml", "a: " + "x" * (1 << 20), "at most 1,048,576 are read"),
        ("config.yaml", "!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("manifest.json", 100_000 * "[", "nested too deep"),
        ("metrics.jsonl", 100_000 * "[" + "\n", "nested too deep"),
        ("metrics.jsonl", '{"step": NaN}\n', "NaN is no number"),
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


def test_runs_without_a_chain_are_told(tmp_path: Path) -> None:
    write_run(tmp_path / "older")
    (run,) = find_runs([str(tmp_path)]).runs
    newer = dataclasses.replace(run, manifest={**run.manifest, "rows": {}})
    assert unchecked([newer]) == []
    (note,) = unchecked([run, newer])
    assert note.startswith("1 of 2 runs were begun by an older version")
