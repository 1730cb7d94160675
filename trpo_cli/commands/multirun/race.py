"""``-m --until-decided``: a sweep that adds seeds until the order of its groups is decided."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from trpo_cli.commands.hydra.alike import Alike
from trpo_cli.commands.hydra.compose import start_hydra
from trpo_cli.commands.hydra.launcher_schema import is_workers
from trpo_cli.commands.hydra.overrides import check_overrides
from trpo_cli.commands.multirun.local import LocalLauncher
from trpo_cli.commands.multirun.powers import of_sweep
from trpo_cli.commands.multirun.resume import checked_index, config_of_job, master_of
from trpo_cli.commands.multirun.start import (
    check_all_surroundings,
    combinations,
    split_own,
    take_sweep_dir,
)
from trpo_cli.commands.race_arguments import FLAG, SEEDS_AT_MOST
from trpo_cli.compare.sequential import Design, design
from trpo_cli.config import Config
from trpo_cli.errors import UserError
from trpo_cli.race.course import SEED, Course
from trpo_cli.race.record import Bounds, Record, read
from trpo_cli.race.standing import cells, keys_that_differ, pairs_of
from trpo_cli.runs.directory import check_writable
from trpo_cli.runs.lock import Lock
from trpo_cli.sweeps import index
from trpo_cli.sweeps.index import Index, Job
from trpo_cli.sweeps.names import link_one, link_runs
from trpo_cli.sweeps.supervise import conclude, supervise
from trpo_cli.system.signals import Interrupted
from trpo_cli.terminal.display import on_screen


def race(
    overrides: Sequence[str], config_dir: str | None, command: list[str], bounds: Bounds
) -> int:
    """Begin a race; returns 0, or the exit status of the worst run."""
    hydra = start_hydra(config_dir)
    own, task = split_own(check_overrides(overrides))
    first, task = first_seed(task)
    jobs, checked, master = combinations(hydra, own, task)
    if not is_workers(master):
        raise no_launcher()
    if [job.subdir for job in checked] != [str(number) for number in range(len(jobs))]:
        raise UserError(f"hydra.sweep.subdir: {FLAG} numbers its runs. Leave it out.")
    check_groups(jobs)
    if any(good.config.eval.episodes == 0 for good in checked):
        raise UserError(
            "eval.episodes=0 leaves a run without a final evaluation, by which it is judged. Leave "
            "it out."
        )
    plan = plan_of([job[:-1] for job in jobs], bounds)
    threads = max((c.config.threads for c in checked if c.config.threads), default=None)
    launcher = LocalLauncher(master, len(jobs) * bounds.max_seeds, threads)
    subdirs = [job.subdir for job in checked]
    listed = index.new(command, config_dir, own, launcher.threads, jobs, subdirs)
    numbered = tuple(
        dataclasses.replace(job, differs=(*job.differs, job.overrides[-1])) for job in listed.jobs
    )
    listed = dataclasses.replace(listed, jobs=numbered)
    record = Record(bounds, first, len(jobs))
    with take_sweep_dir(master) as place:
        record.write(place.folder)
        listed.write(place.folder)
        configs = [good.config for good in checked]
        link_runs(place.folder, listed.jobs, configs)
        of_sweep(listed).remember()
        return run(place.folder, listed, record, plan, configs, launcher)


def resume_race(
    sweep_dir: Path,
    overrides: Sequence[str],
    config_dir: str | None,
    *,
    trusted: bool,
    max_hours: float | None,
) -> int:
    """Go on with a race; returns 0, or the exit status of the worst run.

    overrides, trusted: see `resume_sweep`. max_hours: of this command; None for what it was.
    """
    listed, powers, own, changes = checked_index(sweep_dir, overrides, config_dir, trusted)
    for text in changes:
        if text.lstrip("+").startswith(("total_steps=", "eval.")):
            raise UserError(
                f"{text}: the runs of a race are compared with each other, so that all have the "
                "same. Begin a new one."
            )
    check_writable(sweep_dir, "resume")
    with Lock(sweep_dir, "sweep"):
        record, hydra = read(sweep_dir), start_hydra(listed.config_dir)
        if len(listed.jobs) < record.cells:
            raise UserError(f"{sweep_dir / index.INDEX} has fewer runs than the race has groups.")
        hours = max_hours or record.bounds.max_hours
        record = dataclasses.replace(
            record, bounds=dataclasses.replace(record.bounds, max_hours=hours)
        )
        firsts, alike = listed.jobs[: record.cells], Alike(hydra, recorded=True)
        configs = [config_of_job(alike, job, sweep_dir, listed, changes, trusted) for job in firsts]
        check_all_surroundings(
            ((j.number, j.differs, c) for j, c in zip(firsts, configs, strict=True)), recorded=True
        )
        plan = plan_of([job.overrides[:-1] for job in firsts], record.bounds)
        powers.remember()
        threads = max((c.threads for c in configs if c.threads), default=listed.threads)
        master = master_of(hydra, listed, own, sweep_dir)
        if not is_workers(master):
            raise no_launcher()
        launcher = LocalLauncher(master, record.cells * record.bounds.max_seeds, threads)
        return run(sweep_dir, listed, record, plan, configs, launcher, changes)


def no_launcher() -> UserError:
    return UserError(
        f"hydra/launcher: {FLAG} decides on this machine what runs next, so its runs are processes "
        "here. Leave hydra/launcher out."
    )


def run(
    sweep_dir: Path,
    listed: Index,
    record: Record,
    plan: Design,
    configs: Sequence[Config],
    launcher: LocalLauncher,
    changes: Sequence[str] = (),
) -> int:
    """Make the runs that are needed. configs: one of each cell."""

    def link(job: Job, cell: int) -> None:
        seed = int(job.overrides[-1].removeprefix(SEED))
        link_one(sweep_dir, job, dataclasses.replace(configs[cell], seed=seed))

    totals = [config.total_steps for config in configs]
    course = Course(sweep_dir, listed, record, plan, totals, link)
    if course.over:
        again = "" if course.settled else " A new race takes a larger --max-seeds."
        raise UserError(f"The race in {sweep_dir} is over. {course.decision()}{again}")
    seeds = ", ".join(map(str, plan.looks))
    pool = launcher.pool(listed, f"a race of up to {seeds} seeds a group, ", sweep_dir)
    by = keys_that_differ(course.cells)
    words = f" --by {shlex.quote(','.join(by))}" if by else ""
    try:
        supervise(listed.jobs, course.rows(), pool, changes, course)
    except Interrupted:
        conclude(course.index.jobs, sweep_dir, {}, goes_on=True, by=words)
        raise
    print(on_screen(course.decision(), sys.stdout))
    conclude(course.index.jobs, sweep_dir, course.failed, goes_on=not course.over, by=words)
    return 3 if course.failed and not course.settled else 0


def first_seed(task: Sequence[str]) -> tuple[int, list[str]]:
    """The seed that every group begins with, and the overrides with it at the end."""
    given = [text for text in task if text.lstrip("+").startswith(SEED)]
    value = given[-1].partition("=")[2] if given else "0"
    if not re.fullmatch(r"\d{1,9}", value):
        raise chooses_seeds(given[-1])
    return int(value), [*(text for text in task if text not in given), f"{SEED}{int(value)}"]


def chooses_seeds(text: str) -> UserError:
    return UserError(
        f"{text}: {FLAG} chooses the seeds itself, as many as it takes, and --max-seeds bounds "
        "them. Leave seed out, or give the first one, such as seed=100."
    )


def check_groups(jobs: Sequence[Sequence[str]]) -> None:
    """Raise `UserError` where there are no two groups to compare."""
    for job in jobs:  # an experiment's file may sweep over seeds
        if seeds := [text for text in job[:-1] if text.startswith(SEED)]:
            raise chooses_seeds(seeds[0])
    twice = next((job for job, n in Counter(map(tuple, jobs)).items() if n > 1), None)
    if twice is not None:
        raise UserError(
            f"{' '.join(twice[:-1])} is there twice, and equal groups have nothing to decide."
        )
    if not pairs_of(cells([job[:-1] for job in jobs])):
        raise UserError(
            f"{FLAG} compares groups, and there is only one. Give several values of a setting or "
            "of algo, such as -m algo=trpo,ppo."
        )


def plan_of(jobs: Sequence[Sequence[str]], bounds: Bounds) -> Design:
    """The looks. jobs: the overrides of one run of each group, without the seed.

    Raises `UserError` for bounds within which nothing could ever be decided.
    """
    pairs = len(pairs_of(cells(jobs)))
    plan = design(bounds.max_seeds, pairs, bounds.error_rate)
    if plan is None:
        enough = next(
            (n for n in range(2, SEEDS_AT_MOST) if design(n, pairs, bounds.error_rate)), None
        )
        of = f" of {pairs} pairs" if pairs > 1 else ""
        raise UserError(
            f"--max-seeds {bounds.max_seeds} cannot decide the order{of} at an error rate of "
            f"{bounds.error_rate:g}, however clear it is: the permutation test needs "
            f"{enough or f'more than {SEEDS_AT_MOST}'} runs of each group at least."
        )
    return plan
