"""Installed, or kept compiled, where nothing can be written."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest

from trpo_cli.kernels import store

pytestmark = [
    pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled"),
    pytest.mark.skipif(sys.platform != "linux", reason="root writes everywhere"),
]
REPOSITORY = Path(__file__).parents[2]
PROBE = """
import sys
import numba
from numba.core import event
from trpo_cli.kernels import adam, store
from trpo_cli.kernels.jit import compiled

@compiled
def double(x):
    return 2 * x

store.listen(print)
with event.install_recorder("numba:compile") as seen:
    assert double(21) == 42
print(store.PACKAGE, sum(each.is_start for _, each in seen.buffer))
"""
RUN = [
    "import sys; from trpo_cli.commands.run import main; sys.exit(main(sys.argv[1:]))",
    "env=Hopper-v4",
    "algo=trpo",
    "seed=1",
    "sampler.num_envs=2",
    "sampler.steps_per_env=8",
    "total_steps=16",
    "eval.episodes=1",
]


def like_anybody() -> None:
    """Without root's right to write where permissions forbid it (CAP_DAC_OVERRIDE)."""
    drop_from_bounds, write_anywhere = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounds, write_anywhere, 0, 0, 0)


def python(folder: Path, cache: Path, *arguments: str) -> tuple[str, str]:
    """What a process with the package in `folder` prints."""
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)},
        preexec_fn=like_anybody,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def forbid(folder: Path, mode: int) -> None:
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            each.chmod(mode)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A copy of the package in which no file can be made."""
    folder = tmp_path / "installed"
    for part in ("trpo_cli", "conf"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / part, folder / part, ignore=without)
    forbid(folder, 0o555)
    attempt = "import sys; open(sys.argv[1], 'w')"
    with pytest.raises(AssertionError, match="Permission denied"):
        python(folder, tmp_path, attempt, str(folder / "trpo_cli" / "new"))
    yield folder
    forbid(folder, 0o755)


def test_installation(installed: Path, tmp_path: Path) -> None:
    before = sorted(installed.rglob("*"))
    (tmp_path / "cache").mkdir()
    first, second = (python(installed, tmp_path / "cache", PROBE)[0] for _ in range(2))
    said, counted = first.splitlines()
    assert said.startswith(f"{store.COMPILING}, once")
    assert counted == f"{installed / 'trpo_cli'} 1"
    assert second == f"{installed / 'trpo_cli'} 0\n"
    assert sorted(installed.rglob("*")) == before


@pytest.mark.slow
def test_run_from_a_full_cache_that_is_made_read_only(installed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    _, first = python(installed, cache, *RUN, f"hydra.run.dir={tmp_path}/first")
    assert store.COMPILING in first
    forbid(cache, 0o555)
    kept = sorted(cache.rglob("*"))
    _, second = python(installed, cache, *RUN, f"hydra.run.dir={tmp_path}/second")
    forbid(cache, 0o755)
    assert store.COMPILING not in second
    assert sorted(cache.rglob("*")) == kept
    rows = [tmp_path / name / "eval.jsonl" for name in ("first", "second")]
    assert (
        rows[0].read_text().partition('"chain"')[0] == rows[1].read_text().partition('"chain"')[0]
    )
