"""Help and mistakes do not wait for what only a run needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import REPOSITORY

LINES = {
    "run": [
        "--help",
        "--help=all",
        "algo=tpro",
        "algo.max_kll=1",
        "env=Hoper-v4",
        "resume=nowhere",
    ],
    "evaluate": ["--help", "nowhere", "nowhere --episodez=3"],
    "compare": ["--help", "nowhere", "nowhere --byy=seed"],
    "export": ["--help", "nowhere", "nowhere --formatt=npz"],
    "tune": ["--help", "algo=tpro", "algo.max_kll=1", "env=Hoper-v4"],
    "lab": ["--help", "lqrr", "lqr --statez=3"],
}


@pytest.mark.parametrize("command", LINES)
def test_imports_nothing_heavy(command: str, tmp_path: Path) -> None:
    code = f"""
import contextlib, io, sys
from trpo_cli.commands.{command} import main
for line in {LINES[command]}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            status = main(line.split())
        except SystemExit as leaving:
            status = leaving.code
    heavy = {{"numba", "llvmlite", "mujoco", "torch"}} & sys.modules.keys()
    print(line, status or 0, *sorted(heavy))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [f"{line} {0 if '--help' in line else 2}" for line in LINES[command]]
    assert done.stdout.splitlines() == expected
