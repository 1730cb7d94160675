"""A search over runs that take no time; as a process of its own, to be killed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.priced_run import STEPS
from trpo_cli.sweeps.pool import Pool
from trpo_cli.tune.candidates import choices_of
from trpo_cli.tune.points import HALVING, NONE
from trpo_cli.tune.schedule import Plan, Schedule
from trpo_cli.tune.settings import Settings
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
    prune: str = NONE,
    overrides: tuple[str, ...] = (),
    tick: float = 0.05,
    candidates: Sequence[dict[str, str]] = (),
    first_seed: int = 0,
) -> tuple[list[Record], list[str]]:
    said: list[str] = []
    dimensions = choices_of(candidates) if candidates else parse_space(space, "space")
    search = Search(folder, dimensions, "tpe", prune, 0, candidates=candidates)
    with Pool(at_once, main="tests.support.priced_run") as pool:
        own = tuple(range(first_seed, first_seed + seeds))
        plan = Plan(folder, overrides, own, STEPS, trials, prune)
        Schedule(plan, search, pool, said.append).run(lambda: False, tick=tick)
    return search.records(), said


EXPONENTS = (-1.0, -4.0, -3.0, -0.5, -3.5, -2.1)
RACERS = [{"lr": repr(10.0**exponent)} for exponent in EXPONENTS]
SETTINGS = Settings("trpo-tune", ["algo=ppo"], LR, 2, 4, "tpe", "median", 0, None)


def race(folder: Path, **given: Any) -> tuple[list[Record], list[str]]:
    """One run at a time, looked at when it has ended: always the same."""
    words: dict[str, Any] = {"candidates": RACERS, "seeds": 3, "prune": HALVING, **given}
    return run(folder, len(RACERS), at_once=1, tick=60.0, **words)


if __name__ == "__main__":
    search = race if sys.argv[2] == "race" else partial(run, trials=12)
    search(Path(sys.argv[1]), overrides=("wait=0.2",))
