"""Putting finished runs into a store, and tidying their folders up."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from campaign.cells import changes, defaults
from trpo_cli.reference import store
from trpo_cli.reference.distil import (
    is_trial,
    read_finished,
    result_of,
    rule_of,
    settings_of,
    trial_of,
)
from trpo_cli.reference.store import Result, Trial
from trpo_cli.runs.directory import CHECKPOINTS, EVENTS


def distil(run_dir: Path) -> Result | Trial:
    """What is kept of a finished run; raises `UserError` for one that is not to be kept."""
    run = read_finished(run_dir)
    if not is_trial(run):
        return result_of(run, cpu_seconds(run_dir))
    return trial_of(run, changes(*rule_of(run), run.env, settings_of(run.config)))


def put(folder: Path, found: Sequence[Result | Trial]) -> int:
    """Write them into a store; returns how many were there before. Others may do so meanwhile."""
    results = [r for r in found if isinstance(r, Result)]
    trials = [t for t in found if isinstance(t, Trial)]
    with alone(folder):
        before = store.add(folder, results, defaults) if results else 0
        return before + (store.add_trials(folder, trials) if trials else 0)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def cpu_file(run_dir: Path) -> Path:
    """Beside a run: the CPU seconds that its training and evaluation took."""
    return run_dir.with_name(f"{run_dir.name}.cpu")


def cpu_seconds(run_dir: Path) -> float | None:
    """None where nobody measured."""
    path = cpu_file(run_dir)
    return float(path.read_text()) if path.is_file() else None


def clean(run_dir: Path) -> None:
    """Remove what is not needed to distil a run again."""
    shutil.rmtree(run_dir / CHECKPOINTS, ignore_errors=True)
    for events in run_dir.glob(EVENTS):
        events.unlink()
