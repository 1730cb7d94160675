"""A disk that is full, or refuses: what is said, and what is left on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import trpo_cli.simulators.mujoco.quiet  # noqa: F401  its import starts a process, which writes
from tests.support import faulty_envs, running
from tests.support.failing import fail
from tests.support.running import BATCH, check_same, lines, result, status
from trpo_cli.commands import run as cli
from trpo_cli.commands.failures import report
from trpo_cli.errors import CannotWrite, RunFailed
from trpo_cli.runs import checkpoint, directory
from trpo_cli.runs.crash import write_crash
from trpo_cli.training.loop import train

ENV = "Faulty/Faulty-v0"
assert faulty_envs.REPAIRED is False


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def full_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> None:
    """The n-th call of a function that writes, and all later ones, meet a full disk."""
    real, made = getattr(owner, name), [0]

    def write(*args: Any) -> Any:
        made[0] += 1
        if made[0] > calls:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(owner, name, write)


class TestFullDisk:
    @pytest.mark.parametrize("calls", [0, 1, 2, 7, 8, 12, 15])
    def test_any_write_then_room_is_made(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        reference: Callable[..., Any],
        calls: int,
    ) -> None:
        """os.write is metrics.jsonl, eval.jsonl and TensorBoard; the events file is given up."""
        with monkeypatch.context() as patch:
            full_after(patch, os, "write", calls)
            message = fail(running.config(), tmp_path)
        assert "cannot be written: No space left on device. Make room there." in message
        assert capsys.readouterr().err.count("TensorBoard") <= 1
        for path in tmp_path.glob("*.jsonl"):
            assert path.read_bytes()[-1:] in (b"", b"\n")
            lines(path)  # every line is whole
        assert not list(tmp_path.glob("crash_*"))
        train(running.config(), tmp_path, ["trpo-run"], resume=True)
        assert result(tmp_path) == reference(running.config())  # TensorBoard may lack a row

    @pytest.mark.parametrize("calls", [3, 5, 9, 14])
    def test_any_file_of_a_checkpoint(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        reference: Callable[..., Any],
        calls: int,
    ) -> None:
        """The manifest cannot be replaced either: the first failure is told."""
        with monkeypatch.context() as patch:
            full_after(patch, checkpoint, "write_durably", calls)
            message = fail(running.config(), tmp_path)
        folder = checkpoint.path(tmp_path, (calls // 3 + 1) * BATCH)
        assert f"{folder} cannot be written" in message and "Make room" in message
        assert checkpoint.latest(tmp_path).name == f"step_{calls // 3 * BATCH}"
        assert not list((tmp_path / "checkpoints").glob(".tmp-*"))
        train(running.config(), tmp_path, ["trpo-run"], resume=True)
        check_same(tmp_path, reference(running.config()))

    def test_the_manifest_at_the_end(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        reference: Callable[..., Any],
    ) -> None:
        with monkeypatch.context() as patch:
            # config.yaml, manifest.json, and that again with each of the eight checkpoints
            full_after(patch, directory, "write_durably", 2 + 8)
            with pytest.raises(CannotWrite, match=r"manifest\.json cannot be written"):
                train(running.config(), tmp_path, ["trpo-run"])
        assert status(tmp_path)[0] == "running" and not list(tmp_path.glob(".*.tmp"))
        train(running.config(), tmp_path, ["trpo-run"], resume=True)
        check_same(tmp_path, reference(running.config()))

    def test_a_real_process(self, tmp_path: Path, reference: Callable[..., Any]) -> None:
        """Files may have 50,000 bytes, which a checkpoint's tensors do not fit in."""
        import resource

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

        run_dir = tmp_path / "run"
        done = subprocess.run(
            [sys.executable, "-m", "trpo_cli", *running.settings(), f"hydra.run.dir={run_dir}"],
            cwd=running.REPOSITORY,
            capture_output=True,
            text=True,
            preexec_fn=limit,
        )
        assert done.returncode == 3 and done.stderr.count("\n") == 1
        assert "step_128 cannot be written: File too large" in done.stderr
        assert "ulimit" in done.stderr and "No checkpoint was written" in done.stderr
        assert status(run_dir)[0] == "failed"
        train(running.config(), run_dir, ["trpo-run"], resume=True)
        check_same(run_dir, reference(running.config()))

    def test_a_torn_row_is_taken_back(self, tmp_path: Path) -> None:
        import resource

        from trpo_cli.runs.append import append_row

        path = tmp_path / "metrics.jsonl"
        append_row(path, {"a": "a" * 600}, None)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
            with pytest.raises(OSError, match="File too large"):
                append_row(path, {"b": "b" * 600}, None)  # 390 bytes of it would fit
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert lines(path) == [{"a": "a" * 600}]


class TestNeverBegan:
    """Nothing is left, so that the same command can be given again."""

    def run(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str) -> int:
        monkeypatch.chdir(folder)
        status = cli.main([*running.settings("vpg", ENV), "hydra.run.dir=a/b", *more])
        assert list(folder.iterdir()) == []
        return status

    def test_a_first_reset_that_raises(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, tmp_path, "+env.kwargs.kind=reset") == 3
        err = capsys.readouterr().err
        assert "environment 0 raised in reset() at step 0" in err and err.count("\n") == 1

    def test_a_disk_that_is_full_already(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        full_after(monkeypatch, directory, "write_durably", 0)
        assert self.run(monkeypatch, tmp_path) == 3
        err = capsys.readouterr().err
        assert "config.yaml cannot be written: No space left" in err and err.count("\n") == 1


def test_memory_that_does_not_suffice(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(MemoryError(), debug=False) == 3
    err = capsys.readouterr().err
    assert "out of memory" in err and "sampler.num_envs" in err and err.count("\n") == 1


class TestCrashFolder:
    def test_nothing_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        facts = {"step": 5, "iteration": 1}
        assert write_crash(tmp_path / "gone", RunFailed("x"), facts, "") is None
        full = CannotWrite(tmp_path, OSError(28, "No space left on device"))
        assert write_crash(tmp_path, full, facts, "") is None
        assert list(tmp_path.iterdir()) == []

    def test_an_earlier_one_is_replaced(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            folder = write_crash(tmp_path, RunFailed(name), {"step": 5}, "")
            assert folder is not None and not (folder / "stale").exists()
            (folder / "stale").touch()
        assert "second" in (tmp_path / "crash_5" / "fault.json").read_text()

    def test_arrays_with_strides(self, tmp_path: Path) -> None:
        array = np.arange(12.0).reshape(3, 4)[:, ::2].T
        error = RunFailed("x", arrays={"a": array, "flags": array > 3})
        folder = write_crash(tmp_path, error, {"step": 5}, "seed: 1\n")
        assert folder is not None
        found = load_file(folder / "batch.safetensors")
        np.testing.assert_array_equal(found["a"], array)
        np.testing.assert_array_equal(found["flags"], array > 3)
