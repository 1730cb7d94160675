"""How a race stands: from the final performance of the runs that are done, in the order of their
seeds, and from nothing else. Whatever interrupts a race, the same runs give the same standing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trpo_cli.compare.sequential import Design, Path, decided, path
from trpo_cli.compare.statistics import holm
from trpo_cli.race.record import Bounds


@dataclass(frozen=True)
class Cell:
    """A group on one environment. overrides: of its runs, without the seed. label: what makes the
    group differ from the others."""

    number: int
    env: str
    label: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two groups of one environment. path: what the looks say of them alone; p_order: corrected for
    all pairs. order, smaller: what is decided."""

    a: Cell
    b: Cell
    path: Path
    p_order: float
    order: bool
    smaller: bool

    @property
    def settled(self) -> bool:
        return self.order or self.smaller

    @property
    def ahead(self) -> tuple[Cell, Cell]:
        """Who leads whom: as decided, else by the means of the last look."""
        a_leads = self.path.x_leads if self.order else self.path.estimate.value > 0.0
        return (self.a, self.b) if a_leads else (self.b, self.a)


def cells(jobs: Sequence[Sequence[str]]) -> list[Cell]:
    """The groups, from the overrides of a run of each, the seed left out."""
    split = [_split(job) for job in jobs]
    groups = [group for _, group in split]
    common = set(groups[0]).intersection(*groups)
    return [
        Cell(number, env, _label(group, common), tuple(job))
        for number, (job, (env, group)) in enumerate(zip(jobs, split, strict=True))
    ]


def _split(job: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The environment that overrides choose, "" for the default one, and the other overrides."""
    named = [text for text in job if text.startswith("env=")]
    env = named[-1].partition("=")[2].replace("\\", "") if named else ""
    return env, tuple(text for text in job if text not in named)


def _label(group: Sequence[str], common: set[str]) -> str:
    words = []
    for text in group:
        if text not in common:
            key, _, value = text.lstrip("+").partition("=")
            words.append(value if key == "algo" else f"{key.rpartition('.')[2]}={value}")
    return " ".join(words).replace("\\", "") or "defaults"


def keys_that_differ(found: Sequence[Cell]) -> list[str]:
    """Keys by which trpo-compare has to tell the groups apart, besides what it always does."""
    groups = [_split(cell.overrides)[1] for cell in found]
    common = set(groups[0]).intersection(*groups)
    keys = [
        text.lstrip("+").partition("=")[0]
        for group in groups
        for text in group
        if text not in common
    ]
    return [key for key in dict.fromkeys(keys) if key not in ("algo", "sampler")]


def pairs_of(found: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Every two groups of the same environment."""
    return [(a, b) for a, b in itertools.combinations(found, 2) if a.env == b.env]


def standing(
    found: Sequence[Cell], finals: Sequence[Sequence[float]], plan: Design, bounds: Bounds
) -> list[Pair]:
    """finals: of each cell the final performance of its seeds, up to the first that is not done."""
    both = pairs_of(found)
    difference = math.nan if bounds.difference is None else bounds.difference
    paths = [
        path(tuple(finals[a.number]), tuple(finals[b.number]), plan, difference, bounds.share)
        for a, b in both
    ]
    orders = [p.p_order for p in paths]
    marks = decided(orders, [p.p_smaller for p in paths], plan.error_rate)
    return [
        Pair(a, b, p, corrected, order, smaller)
        for (a, b), p, corrected, (order, smaller) in zip(
            both, paths, holm(orders), marks, strict=True
        )
    ]
