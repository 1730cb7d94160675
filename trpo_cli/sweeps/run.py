"""A sweep by worker processes: all its jobs, a table of them, how they ended."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trpo_cli.errors import RunFailed
from trpo_cli.sweeps import overview as states
from trpo_cli.sweeps.index import Entry, has_begun, state
from trpo_cli.sweeps.overview import Row, Table
from trpo_cli.sweeps.pool import Ended, Job, Pool
from trpo_cli.system.signals import Interrupted, Stop

TICK = 0.5
"""Seconds between two looks at the runs."""
LAST_WORDS = 10.0
"""Seconds that the runs have to end after a second Ctrl-C, before they are killed."""


@dataclass(frozen=True)
class Task:
    """A job of a sweep. total: the steps it is to do; done: it is finished already."""

    entry: Entry
    total: int
    done: bool = False


def run_jobs(
    tasks: Sequence[Task], sweep_dir: Path, pool: Pool, changes: Sequence[str] = ()
) -> dict[int, Ended]:
    """Run what is not done yet; returns how each job ended.

    changes: overrides that go to every run, also to those that have begun.

    A signal is passed on to the runs, which write checkpoints; then `Interrupted` is raised. After
    a second Ctrl-C they end at once.
    """
    numbers = [task.entry.number for task in tasks if not task.done]
    ended = dict[int, Ended]()
    with (
        Stop(deferred=True, quiet=True) as stop,
        pool,
        contextlib.closing(Table([_row(t, sweep_dir) for t in tasks], pool.workers)) as table,
        _second_signal(pool, numbers),
    ):
        for task in tasks:
            if not task.done:
                pool.submit(_job(task.entry, sweep_dir, changes))
        stopping = False
        while pool.busy:
            if stop.received is not None and not stopping:
                stopping = True
                name = signal.Signals(stop.received).name
                table.note(f"{name}: each run writes a checkpoint; Ctrl-C stops them at once.")
                _stop(pool, numbers, stop.received)
            table.running([job.number for job in pool.running])
            for one in pool.wait(TICK):
                ended[one.job.number] = one
                table.ended(one.job.number, *_outcome(one))
    return ended


def _row(task: Task, sweep_dir: Path) -> Row:
    entry = task.entry
    how = states.FINISHED if task.done else states.WAITING
    return Row(entry.number, entry.name, sweep_dir / entry.folder, task.total, how)


def _job(entry: Entry, sweep_dir: Path, changes: Sequence[str]) -> Job:
    folder = sweep_dir / entry.folder
    if has_begun(folder):
        return Job(entry.number, tuple(changes), folder, resume=True)
    return Job(entry.number, (*entry.overrides, *changes), folder)


def _outcome(ended: Ended) -> tuple[str, str]:
    """The state of a job that has ended, and why."""
    if ended.status == 0:
        return states.FINISHED, ""
    if ended.status <= RunFailed.exit_status:
        return states.FAILED, ended.message
    return (states.INTERRUPTED if has_begun(ended.job.folder) else states.WAITING), ended.message


def _stop(pool: Pool, numbers: Sequence[int], signal_number: int) -> None:
    for number in numbers:
        pool.stop(number, signal_number)


@contextlib.contextmanager
def _second_signal(pool: Pool, numbers: Sequence[int]) -> Iterator[None]:
    """A block that a second Ctrl-C leaves: the runs hear of it and end, within seconds."""
    try:
        yield
    except Interrupted:
        until = time.monotonic() + LAST_WORDS
        while pool.busy and time.monotonic() < until:
            _stop(pool, numbers, signal.SIGINT)  # the first one may not have been passed on yet
            pool.wait(TICK)
        raise


def conclude(entries: Sequence[Entry], sweep_dir: Path, failed: Mapping[int, str]) -> None:
    """Say how a sweep ended, and what can be done with it.

    failed: why, by the number of the job.
    """
    if failed:
        print(f"trpo-run: {len(failed)} of {len(entries)} runs failed.", file=sys.stderr)
    for entry in entries:
        if entry.number in failed:
            why = failed[entry.number]
            print(f"run {entry.number} ({entry.name}): {why}", file=sys.stderr)
    unfinished = [e for e in entries if state(sweep_dir / e.folder).get("status") != "finished"]
    folder = shlex.quote(str(sweep_dir))
    print(f"sweep directory {sweep_dir}")
    if unfinished:
        print(f"go on:     trpo-run resume={folder}")
    print(f"watch:     tensorboard --logdir {folder}", flush=True)
