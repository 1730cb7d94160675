"""Files of a run directory that are damaged, malformed or malicious; files of a person's own."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.cli_stub import Cli
from trpo_cli.commands import run as trpo_run
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.training.loop import train

SETTINGS = {"total_steps": 2 * running.BATCH, "eval.every": running.BATCH, "eval.episodes": 1}
FILES = [
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "eval.jsonl",
    "events.out.tfevents.*",
    "checkpoints/step_*/tensors.safetensors",
    "checkpoints/step_*/state.json",
    "checkpoints/step_*/index.json",
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    train(running.config("ppo", "CartPole-v1", **SETTINGS), folder, ["trpo-run"])
    return folder


@pytest.fixture
def run_dir(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run", symlinks=True))


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def one_paragraph(text: str) -> str:
    """What a command said, past warnings about checkpoints that it passed over."""
    said = [line for line in text.splitlines() if not line.startswith("warning: ")]
    assert len(said) == 1 and "Traceback" not in text
    return said[0]


class Evil:
    """A pickle of it makes a folder when it is loaded."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("protocol", [0, 5])  # 0 is text, so that it gets past decoding
@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_place_of_a_file_is_never_run(
    run_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    protocol: int,
) -> None:
    witness = tmp_path / "ran"
    data = pickle.dumps(Evil(witness), protocol)
    replaced = list(run_dir.glob(name))
    assert replaced
    for path in replaced:
        path.write_bytes(data)
    capsys.readouterr()
    for command in (
        lambda: trpo_run.main([f"resume={run_dir}", f"total_steps={3 * running.BATCH}"]),
        lambda: trpo_eval([str(run_dir), "--episodes", "1"]),
    ):
        status, err = command(), capsys.readouterr().err
        assert status in (0, 2)
        if status == 2:
            assert str(run_dir) in one_paragraph(err)
        assert not witness.exists()
    pickle.loads(data)
    assert witness.exists()  # it would have done it


# (file, its new text or a change of the old one, what the message names)
DAMAGED: list[tuple[str, Any, str]] = [
    ("config.yaml", "", "config.yaml"),
    ("config.yaml", "- 1\n- 2\n", "config.yaml"),
    ("config.yaml", "seed: [1", "cannot be read as YAML"),
    ("config.yaml", "a: b: c", "cannot be read as YAML"),
    ("config.yaml", "just a word", "config.yaml"),
    ("config.yaml", "algo: 5", "algo.name=None"),
    ("config.yaml", lambda text: text + "foo: 1\n", "foo"),
    ("config.yaml", lambda text: text.replace("seed: 3", "seed: three"), "seed"),
    ("config.yaml", lambda text: text.replace("seed: 3", "seed: -3"), "seed=-3"),
    ("config.yaml", lambda text: text.replace("seed: 3", "seed: ${no.such}"), "no.such"),
    ("config.yaml", lambda text: text.replace("seed: 3", "seed: !!python/name:os.x"), "YAML"),
    ("config.yaml", lambda text: text.replace("name: ppo", "name: tpro"), "algo.name=tpro"),
    ("config.yaml", lambda text: text.replace("CartPole-v1", "CartPol-v1"), "was changed"),
    ("config.yaml", lambda text: text.replace("discount: 0.99", "discount: 2"), "discount=2"),
    ("config.yaml", b"\xff\xfe\x00", "config.yaml"),
    ("manifest.json", "{", "manifest.json"),
    ("manifest.json", "[]", "manifest.json"),
    ("manifest.json", '{"format": 99}', "newer"),
    ("metrics.jsonl", "", "metrics.jsonl has 0 of the 2 rows"),
    ("metrics.jsonl", "not json\n" * 2, "row 1 of metrics.jsonl was changed"),
    ("metrics.jsonl", b"\xff\n", "metrics.jsonl"),
    ("eval.jsonl", "", "eval.jsonl"),
    ("checkpoints/step_*/index.json", "{}", "no whole checkpoint"),
    ("checkpoints/step_*/state.json", "{}", "no whole checkpoint"),
    ("checkpoints/step_*/tensors.safetensors", "", "no whole checkpoint"),
]


@pytest.mark.parametrize(("name", "new", "words"), DAMAGED)
def test_a_damaged_file_is_refused_and_nothing_changes(
    run_dir: Path, capsys: pytest.CaptureFixture[str], name: str, new: Any, words: str
) -> None:
    for path in run_dir.glob(name):
        data = new(path.read_text()) if callable(new) else new
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    before = contents(run_dir)
    capsys.readouterr()
    assert trpo_run.main([f"resume={run_dir}", f"total_steps={3 * running.BATCH}"]) == 2
    message = one_paragraph(capsys.readouterr().err)
    assert message.startswith("trpo-run: ") and words in message
    assert contents(run_dir) == before
    if name.startswith(("config", "checkpoints")):
        assert trpo_eval([str(run_dir), "--episodes", "1"]) == 2
        message = one_paragraph(capsys.readouterr().err)
        assert message.startswith("trpo-eval: ") and words in message
        assert contents(run_dir) == before


@pytest.mark.parametrize("change", ["truncated", "flipped"])
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "index.json"])
def test_the_newest_checkpoint_damaged(
    run_dir: Path, capsys: pytest.CaptureFixture[str], name: str, change: str
) -> None:
    """Both commands take the one before it, and say so."""
    path = run_dir / "checkpoints" / f"step_{2 * running.BATCH}" / name
    data = path.read_bytes()
    half = len(data) // 2
    flipped = data[:half] + bytes([data[half] ^ 0x80]) + data[half + 1 :]
    path.write_bytes(data[:half] if change == "truncated" else flipped)
    capsys.readouterr()
    assert trpo_eval([str(run_dir), "--episodes", "1", "--sampled"]) == 0
    out, err = capsys.readouterr()
    assert f"step {running.BATCH} " in out and "Using an older checkpoint" in err
    assert trpo_run.main([f"resume={run_dir}"]) == 0
    out, err = capsys.readouterr()
    assert f"resumed at step {running.BATCH}" in out and "Using an older checkpoint" in err


# (what is in experiment/mine.yaml, words that the message must hold)
GLOBAL = "# @package _global_\n"
EXPERIMENTS = [
    (GLOBAL + "algo: [1\n", "mine.yaml"),
    (GLOBAL + "- a\n", "mine.yaml"),
    (GLOBAL + "\talgo: ppo\n", "mine.yaml"),
    (GLOBAL + "seed: 1\nseed: 2\n", "duplicate key seed"),
    (GLOBAL + "algo:\n  max_kl: big\n", "algo.max_kl"),
    (GLOBAL + "algo:\n  max_kl: -1\n", "algo.max_kl=-1"),
    (GLOBAL + "algo: ppo\n", "experiment/mine.yaml"),
    (GLOBAL + "discount: ${no.such}\n", "no.such"),
    (GLOBAL + "defaults:\n  - override /algo: tpro\n", "Did you mean trpo?"),
    (GLOBAL + "defaults:\n  - nothing_here\n", "nothing_here"),
    (GLOBAL + "seed: !!python/object/apply:os.mkdir [ran]\n", "python/object/apply"),
    ("seed: 3\n", "# @package _global_"),
    ("", "# @package _global_"),
    (b"\xff\xfe{", "+experiment=mine is not UTF-8"),
]


@pytest.mark.parametrize(("text", "words"), EXPERIMENTS)
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=1,2"]], ids=["run", "sweep"])
def test_a_malformed_experiment(cli: Cli, text: str | bytes, words: str, sweep: list[str]) -> None:
    folder = cli.folder / "own" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    outcome = cli(*sweep, "-cd", "own", "+experiment=mine")
    assert outcome.status == 2 and words in outcome.err
    assert outcome.err.count("\n") == 1 and "Traceback" not in outcome.err
    assert cli.trained == []
    assert cli.written() == ["own", "own/experiment", "own/experiment/mine.yaml"]


def test_an_option_without_a_schema(cli: Cli) -> None:
    (cli.folder / "own" / "algo").mkdir(parents=True)
    (cli.folder / "own" / "algo" / "mine.yaml").write_text("epochs: 1\n")
    outcome = cli("-cd", "own", "algo=mine")
    assert outcome.status == 2 and "/schema/algo/<name>@algo" in outcome.err
    assert outcome.err.count("\n") == 1 and cli.trained == []


def test_a_sweep_that_a_file_asks_for(cli: Cli) -> None:
    (cli.folder / "own" / "experiment").mkdir(parents=True)
    path = cli.folder / "own" / "experiment" / "mine.yaml"
    for params, words in (("{seed: '1,x'}", "seed=x"), ("5", "hydra.sweeper.params")):
        path.write_text(f"{GLOBAL}hydra:\n  sweeper:\n    params: {params}\n")
        outcome = cli("-m", "-cd", "own", "+experiment=mine")
        assert outcome.status == 2 and words in outcome.err and outcome.err.count("\n") == 1
    assert cli.trained == []
