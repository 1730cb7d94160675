"""A directory from somebody else: its links and pipes lead no run outside of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import running
from trpo_cli.commands import run as trpo_run
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.tune import main as trpo_tune
from trpo_cli.errors import CannotWrite, UserError
from trpo_cli.runs import checkpoint, directory
from trpo_cli.runs.event_file import EventFile
from trpo_cli.runs.lock import Lock
from trpo_cli.runs.logger import append_eval
from trpo_cli.training.loop import train

SECRET = b"somebody's own words\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    settings = {"total_steps": 2 * running.BATCH, "eval.every": 0, "eval.episodes": 1}
    train(running.config("ppo", "CartPole-v1", **settings), folder, ["trpo-run"])
    return folder


@pytest.fixture
def run_dir(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run", symlinks=True))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.write_bytes(SECRET)
    return path


WRITERS = {
    ".lock": lambda folder: Lock(folder),
    "eval.jsonl": lambda folder: append_eval(
        folder,
        {"step": 1, "deterministic": True, "episodes": 1, "return_mean": 1.0}
        | {"return_std": 0.0, "returns": [1.0], "seeds": [1]},
        None,
    ),
    "events.out.tfevents.1.x.1.0": EventFile,
}


class TestWriters:
    @pytest.mark.parametrize("name", WRITERS)
    def test_follow_no_link(self, tmp_path, outside, name):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / name).symlink_to(outside)
        with pytest.raises((CannotWrite, OSError), match="symbolic link"):
            WRITERS[name](tmp_path / "run")
        assert outside.read_bytes() == SECRET

    @pytest.mark.parametrize("name", WRITERS)
    def test_wait_for_no_pipe(self, tmp_path, name):
        os.mkfifo(tmp_path / name)
        with pytest.raises((CannotWrite, OSError)):
            WRITERS[name](tmp_path)

    def test_a_file_that_is_replaced(self, tmp_path, outside):
        for name in ("config.yaml", ".config.yaml.tmp"):
            (tmp_path / name).symlink_to(outside)
        directory.write_atomically(tmp_path / "config.yaml", b"new")
        assert outside.read_bytes() == SECRET
        assert not (tmp_path / "config.yaml").is_symlink()
        assert (tmp_path / "config.yaml").read_bytes() == b"new"

    def test_checkpoints_elsewhere(self, tmp_path):
        """Another run's checkpoints, which going back behind them would remove."""
        theirs = tmp_path / "theirs"
        checkpoint.save(checkpoint.path(theirs, 9), {}, {})
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "checkpoints").symlink_to(theirs / "checkpoints")
        with pytest.raises(UserError, match="symbolic link"):
            checkpoint.save(checkpoint.path(tmp_path / "run", 3), {}, {})
        with pytest.raises(UserError, match="symbolic link"):
            checkpoint.go_back(tmp_path / "run", checkpoint.path(theirs, 3), None)
        assert [p.name for p in (theirs / "checkpoints").iterdir()] == ["step_9"]


@pytest.mark.parametrize(
    "name",
    [".lock", "eval.jsonl", "metrics.jsonl", "manifest.json", "config.yaml", "checkpoints",
     "events.out.tfevents.9.x.1.0"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["resume", "eval"])
def test_commands_refuse_a_linked_file(run_dir, tmp_path, capsys, name, command):
    if command == "eval" and name == "checkpoints":
        return  # it only reads them, and checks what it reads
    path, outside = run_dir / name, tmp_path / "outside"
    if path.exists():
        shutil.move(path, outside)
    else:
        outside.write_bytes(SECRET)
    before = sorted((p, p.read_bytes()) for p in [outside, *outside.rglob("*")] if p.is_file())
    path.symlink_to(outside)
    if command == "resume":
        status = trpo_run.main([f"resume={run_dir}", f"total_steps={3 * running.BATCH}"])
    else:
        status = trpo_eval([str(run_dir), "--episodes", "1"])
    said = capsys.readouterr().err
    assert status == 2 and "is a symbolic link to" in said and name in said
    after = sorted((p, p.read_bytes()) for p in [outside, *outside.rglob("*")] if p.is_file())
    assert after == before


@pytest.mark.parametrize(
    "name", [".lock", "eval.jsonl", "metrics.jsonl", "manifest.json", "events.out.tfevents.9.x.1.0"]
)
def test_a_folder_is_no_run_file(run_dir, capsys, name):
    (run_dir / name).unlink(missing_ok=True)
    (run_dir / name).mkdir()
    assert trpo_run.main([f"resume={run_dir}", f"total_steps={3 * running.BATCH}"]) == 2
    said = capsys.readouterr().err
    assert f"{run_dir / name} is a folder, and a run has a file there" in said


def test_a_pipe_is_no_run_file(run_dir, capsys):
    (run_dir / "eval.jsonl").unlink()
    os.mkfifo(run_dir / "eval.jsonl")
    assert trpo_eval([str(run_dir), "--episodes", "1"]) == 2
    assert "neither a file nor a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["journal.log", "report.md", "trials", "trials/0000/seed_0"])
def test_a_search_writes_into_its_own_folder(tmp_path, capsys, name):
    (tmp_path / "search" / name).parent.mkdir(parents=True)
    (tmp_path / "search" / "tune.json").write_text("{}")
    (tmp_path / "search" / name).symlink_to(tmp_path / "outside")
    assert trpo_tune([f"resume={tmp_path / 'search'}"]) == 2
    assert "is a symbolic link to" in capsys.readouterr().err
