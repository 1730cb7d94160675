"""A sweep from its first run to its last: start the runs, pass signals on, say how they ended."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trpo_cli.errors import RunFailed
from trpo_cli.sweeps.index import Job
from trpo_cli.sweeps.look import has_begun, is_finished
from trpo_cli.sweeps.names import logdir
from trpo_cli.sweeps.overview import FAILED, FINISHED, INTERRUPTED, WAITING, Overview, Row
from trpo_cli.sweeps.pool import Ended, Pool, Run
from trpo_cli.system.signals import Interrupted, Stop

TICK = 0.5
"""Seconds between two looks at the runs."""
LAST_WORDS = 10.0
"""Seconds that the runs have to end after a second Ctrl-C, before they are killed."""


@dataclass(frozen=True)
class Orders:
    """What is to be done next. begin: runs to make. stop: numbers of runs that need not go on. say:
    lines for the person."""

    begin: Sequence[tuple[Job, Row]] = ()
    stop: Sequence[int] = ()
    say: Sequence[str] = ()


Planner = Callable[[Mapping[int, Ended], int], Orders]
"""From how the runs ended so far, and how many more would start at once, to what is next."""


def supervise(
    jobs: Sequence[Job],
    rows: Sequence[Row],
    pool: Pool,
    changes: Sequence[str] = (),
    planner: Planner = lambda ended, idle: Orders(),
) -> dict[int, Ended]:
    """Make the runs whose rows say that they wait; returns how each ended, by its number.

    rows: one for each job. changes: overrides for every run, also for those that have begun.
    planner: is asked for more runs whenever there is time; those of `jobs` come first.

    A signal is passed on to the runs, which write checkpoints; then `Interrupted` is raised. After
    a second Ctrl-C they end at once.
    """
    ended = dict[int, Ended]()
    with (
        Stop(deferred=True, quiet=True) as stop,
        pool,
        contextlib.closing(Overview(rows, pool.at_once)) as overview,
        _second_signal(pool),
    ):
        for job, row in zip(jobs, rows, strict=True):
            if row.state == WAITING:
                pool.submit(_run(job, row.folder, changes))
        stopping = False
        _obey(planner(ended, pool.idle), pool, overview, changes)
        while pool.busy:
            if stop.received is not None and not stopping:
                stopping = True
                name = signal.Signals(stop.received).name
                overview.note(f"{name}: each run writes a checkpoint; Ctrl-C stops them at once.")
                pool.stop_all(stop.received)
            overview.running([run.number for run in pool.running])
            for one in map(_truly, pool.wait(TICK)):
                ended[one.run.number] = one
                overview.ended(one.run.number, _state(one), one.message)
            if stop.received is None:
                _obey(planner(ended, pool.idle), pool, overview, changes)
    return ended


def _obey(orders: Orders, pool: Pool, overview: Overview, changes: Sequence[str]) -> None:
    for text in orders.say:
        overview.note(text)
    for number in orders.stop:
        pool.stop(number)
    for job, row in orders.begin:
        overview.add(row)
        pool.submit(_run(job, row.folder, changes))


def _run(job: Job, folder: Path, changes: Sequence[str]) -> Run:
    if has_begun(folder):
        return Run(job.number, tuple(changes), folder, resume=True)
    return Run(job.number, (*job.overrides, *changes), folder)


def _truly(ended: Ended) -> Ended:
    """A process that ended as if all were well, and left no finished run: something called
    os._exit(0) in it."""
    if ended.status or is_finished(ended.run.folder):
        return ended
    why = "its process ended before the run did, with exit status 0."
    return Ended(ended.run, RunFailed.exit_status, why)


def _state(ended: Ended) -> str:
    if ended.status == 0:
        return FINISHED
    if ended.status <= RunFailed.exit_status:
        return FAILED
    return INTERRUPTED if has_begun(ended.run.folder) else WAITING


@contextlib.contextmanager
def _second_signal(pool: Pool) -> Iterator[None]:
    """A block that a second Ctrl-C leaves: the runs hear of it and end, within seconds."""
    try:
        yield
    except Interrupted:
        until = time.monotonic() + LAST_WORDS
        while pool.busy and time.monotonic() < until:
            pool.stop_all(signal.SIGINT)  # the first one may not have been passed on yet
            pool.wait(TICK)
        raise


def conclude(
    jobs: Sequence[Job],
    sweep_dir: Path,
    failed: Mapping[int, str],
    goes_on: bool | None = None,
    by: str = "",
) -> None:
    """Say how a sweep ended, and what can be done with it.

    failed: why, by the number of the job. goes_on: whether there is more to do, None where there is
    while not all jobs are finished. by: options for trpo-compare.
    """
    if failed:
        print(f"trpo-run: {len(failed)} of {len(jobs)} runs failed.", file=sys.stderr)
    for job in jobs:
        if job.number in failed:
            print(f"run {job.number} ({job.name}): {failed[job.number]}", file=sys.stderr)
    folder = shlex.quote(str(sweep_dir))
    print(f"sweep directory {sweep_dir}")
    if goes_on is None:
        goes_on = not all(is_finished(sweep_dir / job.folder) for job in jobs)
    if goes_on:
        print(f"go on:     trpo-run resume={folder}")
    if len(failed) < len(jobs):
        print(f"compare:   trpo-compare {folder}{by}")
    watched = shlex.quote(str(logdir(sweep_dir)))
    print(f"watch:     tensorboard --logdir {watched}", flush=True)
