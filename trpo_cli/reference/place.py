"""Where runs lie among the stored ones of the same rule, sampler and task, at the same steps.

Compared is the mean return of the training episodes over the second half of the steps that both
sides have: runs that are shorter than the stored ones are judged by what those had there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np

from trpo_cli.compare import align
from trpo_cli.compare.align import Curve
from trpo_cli.compare.groups import Group, Grouping, show
from trpo_cli.compare.groups import rule_of as rule_in_words
from trpo_cli.compare.read import Run
from trpo_cli.compare.statistics import (
    least_permutation_p,
    mean_interval,
    permutation_test,
    prediction_interval,
    probability_of_improvement,
)
from trpo_cli.compare.wording import listed, number, p_value, runs, spread
from trpo_cli.errors import UserError
from trpo_cli.reference import store
from trpo_cli.reference.distil import curve_of, rule_of, settings_of
from trpo_cli.reference.store import Result, differing

WINDOW = 0.5
"""Share of the common steps, at their end, over which returns are averaged. The last tenth alone
varies so much between seeds that a broken rule is not told from a healthy one by a few runs."""
NEAR = 0.01
"""Differences of means below this part of them are no news: many tasks have runs that all reach the
highest return there is."""
NAMED = 6
"""Differing settings that are named."""


@dataclass(frozen=True)
class Placed:
    """A group of a user's among stored runs of one cell.

    steps: compared at. mine, theirs: a number for each run. low, high: where the mean of as many
    new runs of the stored kind lies with probability 95%; NaN where a single one is stored.
    p: of the permutation test. differs: setting -> the user's value, the stored one.
    """

    group: Group
    stored: Sequence[Result]
    steps: int
    mine: Sequence[float]
    theirs: Sequence[float]
    low: float
    high: float
    p: float
    differs: Mapping[str, tuple[Any, Any]]

    @property
    def share(self) -> float:
        """P(a run of the user's exceeds a stored one), ties by half."""
        return probability_of_improvement([(self.mine, self.theirs)])

    @property
    def where(self) -> str:
        """Among the stored runs, in words."""
        many = f"{len(self.theirs)} reference runs" if len(self.theirs) > 1 else "the reference run"
        if max(self.mine) < min(self.theirs):
            return f"below {'all ' * (len(self.theirs) > 1)}{many}"
        if min(self.mine) > max(self.theirs):
            return f"above {'all ' * (len(self.theirs) > 1)}{many}"
        if len(self.theirs) < 4:
            return f"among {many}"
        if self.share == 0.5:
            return f"in the middle of {many}"
        half = "lower" if self.share < 0.5 else "upper"
        part = "half" if 0.25 <= self.share <= 0.75 else "quarter"
        return (
            f"in the {half} {part} of {many}" if self.share != 0.5 else f"in the middle of {many}"
        )

    @property
    def verdict(self) -> str:
        """lower, higher, as expected, or open where a single stored run shows no spread."""
        mean = float(np.mean(self.mine))
        if math.isnan(self.low):
            return "open"
        return "lower" if mean < self.low else "higher" if mean > self.high else "as expected"


def place_all(grouping: Grouping, where: Traversable) -> tuple[list[Placed], list[str]]:
    """Every group of a comparison among what is stored, and a sentence on each that has nothing
    to be compared with."""
    placed, notes = list[Placed](), list[str]()
    for (env, label), group in grouping.groups.items():
        rule = rule_of(group.runs[0])
        if group.runs[0].config.get("init"):
            notes.append(
                f"{label} on {env} began with other runs' policies, and reference runs did not: "
                "nothing is said about it there."
            )
            continue
        same = [r for r in store.read(where, env) if (r.algo, r.sampler) == rule]
        if not same:
            notes.append(
                f"No reference run is stored of {rule_in_words(group.runs[0])} on {env}, so that "
                f"nothing is said about {label} there."
            )
            continue
        try:
            placed.append(place(group, nearest(group.runs[0], same)))
        except UserError as error:
            notes.append(f"{label} on {env} is not placed among reference runs: {error}")
    return placed, notes


def nearest(run: Run, stored: Sequence[Result]) -> list[Result]:
    """Of one rule's stored runs on a task those of the cell that a run is most like: fewest
    settings that differ, then the nearest number of steps."""
    settings, total = settings_of(run.config), int(run.config["total_steps"])

    def distance(result: Result) -> tuple[int, float]:
        far = abs(math.log(result.total_steps / total))
        return len(differing(settings, result.settings)), far

    best = min(stored, key=distance)
    same = [r for r in stored if r.total_steps == best.total_steps]
    return [r for r in same if not differing(r.settings, best.settings)]


def place(group: Group, stored: Sequence[Result]) -> Placed:
    """Raises `UserError` for a run without a finished episode."""
    mine = [curve_of(run) for run in group.runs]
    theirs = [Curve(r.steps, r.returns) for r in stored]
    start, end = align.span([*mine, *theirs])
    if end < start:
        raise UserError("it ends before the first finished episode of those runs.")
    start = max(start, (1.0 - WINDOW) * end)
    a, b = ([align.mean_height(c, start, end) for c in curves] for curves in (mine, theirs))
    low, high = prediction_interval(b, a) if len(b) > 1 else (math.nan, math.nan)
    near = NEAR * abs(float(np.mean(b)))
    return Placed(
        group,
        stored,
        round(end),
        a,
        b,
        min(low, float(np.mean(b)) - near) if low == low else low,
        max(high, float(np.mean(b)) + near) if high == high else high,
        permutation_test(a, b),
        differing(settings_of(group.runs[0].config), stored[0].settings),
    )


def in_words(placed: Placed) -> str:
    """Where the runs lie, whether that is to be expected, and what else differs."""
    group, n = placed.group, len(placed.mine)
    mine, theirs = mean_interval(placed.mine), mean_interval(placed.theirs)
    text = (
        f"{group.label} on {group.env} lies {placed.where} after {placed.steps:,} steps: "
        f"{spread(mine)} over {runs(n)}, where they have {spread(theirs)}."
    )
    if placed.verdict == "open":
        text += " A single reference run says nothing about what is to be expected."
    else:
        what = {"as expected": "As expected", "lower": "Lower than expected", "higher": "Higher "
                "than expected"}[placed.verdict]  # fmt: skip
        one = f"the mean of {n} such runs lies" if n > 1 else "one more such run lies"
        text += (
            f" {what}: {one} between {number(placed.low)} and {number(placed.high)} with "
            f"probability 95%{_permuted(placed)}."
        )
        apart = placed.where.startswith(("below", "above"))
        if placed.verdict == "as expected" and apart:
            text += " More runs, of either kind, could show a difference."
    return " ".join([text, *_differences(placed)])


def _permuted(placed: Placed) -> str:
    if math.isnan(placed.p):
        return ""
    least = least_permutation_p(len(placed.mine), len(placed.theirs))
    floor = f", {least:.2g} at best with so few" if least > 0.05 else ""
    return f" (permutation test: p {p_value(placed.p, '= ')}{floor})"


def _differences(placed: Placed) -> list[str]:
    """Sentences on what else than luck may make a difference."""
    found = []
    if placed.differs:
        names = [f"{key}={show(a)} (there {show(b)})" for key, (a, b) in placed.differs.items()]
        more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
        found.append(f"Settings that differ: {listed([*names[:NAMED], *more])}.")
    run, one = placed.group.runs[0], placed.stored[0]
    here, there = int(run.config["total_steps"]), one.total_steps
    schedules = [v for k, v in one.settings.items() if k.endswith(".schedule")]
    if here != there and set(schedules) - {"constant", "adaptive", None}:
        found.append(
            f"Step sizes follow total_steps, which is {here:,} here and {there:,} there: late in "
            "training that alone makes a difference."
        )
    versions = {name: run.versions.get(name) for name in one.versions}
    other = [
        f"{name} {versions[name]} (there {theirs})"
        for name, theirs in one.versions.items()
        if name != "numpy" and versions[name] != theirs
    ]
    if other:
        found.append(f"Libraries that differ: {listed(other)}.")
    return found
