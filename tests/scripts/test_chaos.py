"""scripts/chaos.py: a short campaign, and that it sees what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/chaos.py"


def campaign(tmp_path: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starts", "mutations", "kills", "more"),
    [
        (1, 4, 1, ["--case=ppo", "--damages=0", "--sweeps=0", "--searches=0"]),
        (20, 100, 60, ["--damages=10"]),
    ],
)
def test_nothing_is_lost(
    tmp_path: Path, starts: int, mutations: int, kills: int, more: list[str]
) -> None:
    numbers = {"seed": 0, "starts": starts, "mutations": mutations, "kills": kills}
    code, said = campaign(tmp_path, *more, *(f"--{k}={v}" for k, v in numbers.items()))
    assert code == 0, said
    assert f"{mutations} mutations, " in said
    assert f"{starts} simultaneous starts: 0 failures" in said
    assert list(tmp_path.glob("trpo_cli_chaos_*")) == []


def test_a_failure_is_told_and_kept(tmp_path: Path) -> None:
    """Here every run fails, as its disk takes no file of more than a hundred bytes."""
    command = f"ulimit -f 1; exec {sys.executable} {SCRIPT} --starts 1 --mutations 0 --kills 0"
    done = subprocess.run(
        ["bash", "-c", f"{command} --damages 0 --sweeps 0 --searches 0"],
        env={**os.environ, "TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "FAILED start 0" in done.stdout
    assert len(list(tmp_path.glob("trpo_cli_chaos_*/start_0"))) == 1
