"""Sweeps and searches that are killed: no run is lost, none is made twice."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos_parts.children import (
    PATIENCE,
    Failure,
    check_status,
    children_of,
    ended,
    finish,
    kill,
    start,
)
from chaos_parts.results import check_files, contents, is_finished, lines_in, result, same
from chaos_parts.tries import MANY, Campaign
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.commands.tune import main as trpo_tune
from trpo_cli.tune.points import MEDIAN
from trpo_cli.tune.settings import read
from trpo_cli.tune.space import override, parse_space
from trpo_cli.tune.study import Record, Search, import_optuna

SPACE = """\
algo.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
algo.epochs: {low: 1, high: 4}
"""
TRIALS, SEEDS = 3, 2
JOBS = ("0", "1")
"""The runs of a sweep, which has one for each seed."""


def sweep_words(campaign: Campaign, sweep_dir: Path) -> list[str]:
    own = ["-m", "seed=3,4", f"hydra.sweep.dir={sweep_dir}", "hydra.launcher.jobs=2"]
    return [*settings(campaign), *own]


def search_words(campaign: Campaign, search_dir: Path) -> list[str]:
    space = campaign.folder / "space.yaml"
    space.write_text(SPACE)
    options = {"space": space, "trials": TRIALS, "seeds": SEEDS, "jobs": 2, "out": search_dir}
    return [*settings(campaign), *(f"--{name}={value}" for name, value in options.items())]


def settings(campaign: Campaign) -> list[str]:
    """What all runs have in common."""
    return [word for word in campaign.words(MANY) if not word.startswith("seed=")]


def killed_sweep(campaign: Campaign, generator: random.Random, folder: Path) -> None:
    """A sweep whose process is killed, alone or with its workers."""
    sweep_dir = folder / "sweep"
    words = sweep_words(campaign, sweep_dir)

    def attempt() -> int:
        begun = (sweep_dir / "sweep.json").exists()
        return start(trpo_run, [f"resume={sweep_dir}"] if begun else words, folder)

    def is_over() -> bool:
        return all(is_finished(sweep_dir / job) for job in JOBS)

    for _ in range(generator.randrange(1, 4)):
        if is_over():
            break
        child = attempt()
        wait_until(child, after(generator.expovariate(0.15)))
        if ended(child) is not None:
            check_status(child, 0)
            break
        campaign.tries["kills of sweeps"] += kill(child, with_it(child, generator))
    if not is_over():
        finish(attempt(), 0)
    check_sweep(campaign, sweep_dir)


def check_sweep(campaign: Campaign, sweep_dir: Path) -> None:
    """All runs have finished and are what nobody disturbed."""
    for seed, job in enumerate(JOBS, 3):
        same(result(sweep_dir / job), undisturbed(campaign, [f"seed={seed}"]))
        check_files(sweep_dir / job)


def killed_search(campaign: Campaign, generator: random.Random, folder: Path) -> None:
    """A search whose process is killed, alone or with its workers, again and again."""
    search_dir = folder / "search"
    words = search_words(campaign, search_dir)
    complete: dict[int, Record] = {}
    finished: dict[Path, dict[str, bytes]] = {}

    def attempt() -> int:
        begun = (search_dir / "tune.json").exists()
        return start(trpo_tune, [f"resume={search_dir}"] if begun else words, folder)

    import_optuna()
    for _ in range(generator.randrange(2, 7)):
        child = attempt()
        kind = generator.choice(["time", "journal", "journal", "rows", "finished", "beginning"])
        wait_until(child, reached(kind, search_dir, generator))
        if ended(child) is not None:
            check_status(child, 0)
            break
        killed = kill(child, with_it(child, generator))
        campaign.tries[f"kills of searches: {kind}"] += killed
        complete |= {r.number: r for r in trials(search_dir, folder) if r.state == "complete"}
        for run_dir in search_dir.glob("trials/*/seed_?"):
            if run_dir not in finished and is_finished(run_dir):
                finished[run_dir] = contents(run_dir)
    finish(attempt(), 0)
    check_search(campaign, search_dir, folder)
    found = {record.number: record for record in trials(search_dir, folder)}
    for number, record in complete.items():
        if found[number] != record:
            raise Failure(f"trial {number} was {record} and is {found[number]}")
    for run_dir, before in finished.items():
        if contents(run_dir) != before:
            raise Failure(f"{run_dir} had finished, and somebody was there again")


def reached(kind: str, search_dir: Path, generator: random.Random) -> Callable[[], bool]:
    """Whether a search has come to a moment of a kind."""
    if kind == "beginning":
        return search_dir.is_dir
    if kind == "time":
        return after(generator.expovariate(0.2))

    def count() -> int:
        if kind == "journal":
            return lines_in(search_dir / "journal.log")
        runs = list(search_dir.glob("trials/*/seed_?"))
        if kind == "rows":
            return sum(lines_in(run_dir / "metrics.jsonl") for run_dir in runs)
        return sum(map(is_finished, runs))

    goal = count() + generator.randrange(1, 3 if kind == "finished" else 9)
    return lambda: count() >= goal


def after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def wait_until(child: int, reached: Callable[[], bool]) -> None:
    """Wait for a moment, or for the end of the process."""
    limit = time.monotonic() + PATIENCE
    while ended(child) is None and not reached():
        if time.monotonic() > limit:
            raise Failure("a process neither ended nor got on")
        time.sleep(0.002)


def with_it(child: int, generator: random.Random) -> list[int]:
    """The workers, which a machine that stops takes along; or none: they end by themselves."""
    return children_of(child) if generator.random() < 0.5 else []


def check_search(campaign: Campaign, search_dir: Path, folder: Path) -> None:
    """All trials are there once, and each is worth what its runs say, which nobody disturbed."""
    records = trials(search_dir, folder)
    if [(r.number, r.state) for r in records] != [(n, "complete") for n in range(TRIALS)]:
        raise Failure(f"the trials are {records}")
    wanted = [f"{number:04d}/seed_{seed}" for number in range(TRIALS) for seed in range(SEEDS)]
    there = [path for path in search_dir.glob("trials/*/*") if path.is_dir()]
    if sorted(str(path.relative_to(search_dir / "trials")) for path in there) != wanted:
        raise Failure(f"the folders of the trials are {there}")
    for record in records:
        drawn = [override(key, value) for key, value in record.settings.items()]
        finals = []
        for seed in range(SEEDS):
            run_dir = search_dir / "trials" / f"{record.number:04d}" / f"seed_{seed}"
            check_files(run_dir)
            found = result(run_dir)
            same(found, undisturbed(campaign, [*drawn, f"seed={seed}"]))
            finals.append(found["evaluations"][-1]["return_mean"])
        if (record.finals, record.value) != (finals, sum(finals) / SEEDS):
            raise Failure(f"trial {record.number} has {record.finals}, and its runs {finals}")
    if lines_in(search_dir / "trials.csv") != 1 + TRIALS:
        raise Failure("trials.csv has not a line for each trial")


def trials(search_dir: Path, folder: Path) -> list[Record]:
    """The trials that the journal knows, from a copy: a line may be half written."""
    journal = search_dir / "journal.log"
    if not lines_in(journal):
        return []
    copy = folder / "journal"
    copy.mkdir()
    try:
        shutil.copy(journal, copy)
        start = read(search_dir).journal
        return Search(copy, parse_space(SPACE, "the space"), "tpe", MEDIAN, 0, start).records()
    finally:
        shutil.rmtree(copy)


def undisturbed(campaign: Campaign, words: list[str]) -> dict[str, Any]:
    """What a run of a sweep or a search gives when nothing happens."""
    key = " ".join(words)
    if key not in campaign.others:
        folder = campaign.folder / "undisturbed"
        folder.mkdir()
        run_dir = folder / "run"
        campaign.reference(MANY)  # imports and compiles what the child needs
        words = [*settings(campaign), *words, f"hydra.run.dir={run_dir}"]
        finish(start(trpo_run, words, folder), 0)
        campaign.others[key] = result(run_dir)
        shutil.rmtree(folder)
    return campaign.others[key]
