"""A search over runs that take no time; as a process of its own, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.priced_run import STEPS
from trpo_cli.sweeps.pool import Pool
from trpo_cli.tune.schedule import Plan, Schedule
from trpo_cli.tune.space import parse_space
from trpo_cli.tune.study import Record, Search

LR = "lr: {low: 1.0e-5, high: 1.0, log: true}"


def run(
    folder: Path,
    trials: int,
    *,
    space: str = LR,
    at_once: int = 2,
    seeds: int = 2,
    prune: bool = False,
    overrides: tuple[str, ...] = (),
    tick: float = 0.05,
) -> tuple[list[Record], list[str]]:
    said: list[str] = []
    search = Search(folder, parse_space(space, "space"), "tpe", prune, 0)
    with Pool(at_once, main="tests.support.priced_run") as pool:
        plan = Plan(folder, overrides, tuple(range(seeds)), STEPS, trials)
        Schedule(plan, search, pool, said.append).run(lambda: False, tick=tick)
    return search.records(), said


if __name__ == "__main__":
    run(Path(sys.argv[1]), 12, overrides=("wait=0.2",))
