"""Of several processes that want one folder, one gets it and only that one removes anything."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import running
from trpo_cli.errors import UserError
from trpo_cli.runs.lock import Lock
from trpo_cli.runs.place import take


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestTake:
    def test_what_nothing_came_of_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), take(tmp_path / "a" / "b", "key") as place:
            assert names(place.folder) == [".lock"]
            raise KeyboardInterrupt
        assert names(tmp_path) == []

    def test_a_folder_that_was_there_stays(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), take(tmp_path, "key"):
            raise KeyboardInterrupt
        assert names(tmp_path) == []

    def test_what_was_written_stays(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), take(tmp_path / "a", "key") as place:
            (place.folder / "config.yaml").touch()
            raise KeyboardInterrupt
        assert names(tmp_path / "a") == [".lock", "config.yaml"]

    def test_who_comes_second_removes_nothing(self, tmp_path: Path) -> None:
        with take(tmp_path / "a", "key"):
            with pytest.raises(UserError, match="still going"):
                take(tmp_path / "a", "key")
            assert names(tmp_path / "a") == [".lock"]

    def test_it_is_looked_at_again_once_it_is_locked(self, tmp_path: Path) -> None:
        """Somebody came and went between the first look and the lock."""
        looks = list[str]()

        def check(folder: Path, key: str) -> None:
            looks.append(key)
            if len(looks) == 2:
                raise UserError("used meanwhile")

        with pytest.raises(UserError, match="meanwhile"):
            take(tmp_path / "a", "key", check=check)
        with Lock(tmp_path / "a"):  # it was let go
            pass

    def test_what_a_killed_start_left_goes(self, tmp_path: Path) -> None:
        for name in (".lock", ".config.yaml.tmp"):
            (tmp_path / name).touch()
        with take(tmp_path, "key"):
            assert names(tmp_path) == [".lock"]

    @pytest.mark.parametrize("name", ["note.txt", ".note.tmp", "config.yaml"])
    def test_what_is_somebody_elses_is_not_touched(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        (tmp_path / ".config.yaml.tmp").touch()
        with pytest.raises(UserError, match="not empty"):
            take(tmp_path, "key")
        assert names(tmp_path) == sorted([name, ".config.yaml.tmp"])


def test_a_lock_whose_file_was_removed_is_none(tmp_path: Path) -> None:
    """Whoever opened the file before its holder removed it would share the folder with the next."""
    real, opened = os.open, list[int]()

    def slow_open(path: Path, *args: int) -> int:
        descriptor = real(path, *args)
        if not opened:
            opened.append(descriptor)
            (tmp_path / ".lock").unlink()
        return descriptor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", slow_open)
        lock = Lock(tmp_path)
    assert opened and (tmp_path / ".lock").exists()
    with lock, pytest.raises(UserError, match="still going"):
        Lock(tmp_path)


def test_a_child_does_not_hold_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from trpo_cli.runs.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1]))\n"
        "child = os.fork()\n"
        "if child == 0:\n    time.sleep(60)\n"
        "print(child, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            with pytest.raises(UserError, match="still going"):
                Lock(tmp_path)
            process.kill()
            process.wait()
            until = time.monotonic() + 5.0
            while True:  # the child may not have run yet
                try:
                    Lock(tmp_path).release()
                    break
                except UserError:
                    assert time.monotonic() < until
                    time.sleep(0.01)
        finally:
            os.kill(child, 9)


def test_three_starts_at_once(tmp_path: Path) -> None:
    """One trains, the others are refused and take nothing away."""
    run_dir = tmp_path / "run"
    settings = running.settings("vpg", "CartPole-v1", total_steps=running.BATCH)
    started = [running.start(*settings, f"hydra.run.dir={run_dir}", cwd=tmp_path) for _ in range(3)]
    ended = [running.finish(process) for process in started]
    assert sorted(code for code, _, _ in ended) == [0, 2, 2]
    refused = [err for code, _, err in ended if code == 2]
    assert all("still going" in err or "not empty" in err for err in refused)
    assert running.status(run_dir) == ("finished", None)
    assert len(running.lines(run_dir / "metrics.jsonl")) == 1
