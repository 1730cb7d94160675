"""A reader that leaves early (``trpo-compare ... | true``, ``| head -1``): no command minds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import running
from trpo_cli.commands.run import main as trpo_run

RUN = running.settings("vpg", "CartPole-v1", total_steps=2 * running.BATCH, **{"eval.every": 0})
SEARCH = [word for word in RUN if not word.startswith("seed=")]
FEW = ["--space", "space.yaml", "--trials", "1", "--seeds", "1", "--out", "search"]
COMMANDS = {
    "help of run": ["run", "--help"],
    "help of evaluate": ["evaluate", "--help"],
    "help of compare": ["compare", "--help"],
    "help of tune": ["tune", "--help"],
    "help of lab": ["lab", "--help"],
    "version": ["run", "--version"],
    "configuration": ["run", *RUN, "--cfg", "job"],
    "run": ["run", *RUN, "hydra.run.dir=run"],
    "sweep": ["run", *RUN, "-m", "hydra.sweep.dir=sweep"],
    "watch": ["run", "--watch", "a"],
    "evaluate": ["evaluate", "a", "b", "--episodes", "1"],
    "evaluate as JSON": ["evaluate", "a", "--episodes", "1", "--json"],
    "compare": ["compare", "a", "b", "--no-files"],
    "compare as JSON": ["compare", "a", "b", "--no-files", "--json"],
    "tune": ["tune", *SEARCH, *FEW],
    "lab": ["lab", "distances", "--no-figure"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, a and b, and a search space."""
    folder = tmp_path_factory.mktemp("readers")
    for name in "ab":
        assert trpo_run([*RUN, f"hydra.run.dir={folder / name}"]) == 0
    (folder / "space.yaml").write_text("algo.learning_rate: {low: 1.0e-4, high: 1.0e-2}\n")
    return folder


def unread(words: list[str], folder: Path, *, error: bool = False) -> tuple[int, str]:
    """Exit status and stderr of a command whose standard output nobody reads, from its first byte
    on. error: nobody reads stderr either."""
    read, write = os.pipe()
    os.close(read)
    code = f"import sys; from trpo_cli.commands.{words[0]} import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(running.REPOSITORY)},
        stdout=write,
        stderr=write if error else subprocess.PIPE,
        text=True,
        timeout=240,
    )
    os.close(write)
    return done.returncode, done.stderr or ""


SLOW = ("sweep", "tune")
"""They start further processes."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in COMMANDS]
)
def test_nobody_reads(name: str, folder: Path) -> None:
    assert unread(COMMANDS[name], folder) == (0, "")


@pytest.mark.parametrize("command", ["run", "evaluate", "compare", "tune", "lab"])
def test_nobody_reads_of_a_mistake(command: str, folder: Path) -> None:
    status, error = unread([command, "no-such-thing"], folder)
    assert status == 2 and error.count("\n") == 1
    assert unread([command, "no-such-thing"], folder, error=True)[0] == 2
