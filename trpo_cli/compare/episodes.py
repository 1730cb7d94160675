"""Returns that another tool measured, as the columns of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.metric import TRAIN_CURVE
from trpo_cli.compare.read import RETURN
from trpo_cli.compare.valid import LARGEST, WHOLE

ROWS = 500
"""Rows of a run at most: stretches of equal numbers of steps, as the iterations of ours are."""
RECENT = 100
"""Episodes of the mean that ours is compared by, and that stable-baselines3 writes."""
EPISODES, WINDOW, POINTS = "episodes", "window", "points"
"""What a measured return is: of one training episode, the mean of the last `RECENT` of them, or
something that nobody told."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Returns of one run. steps, seconds, returns: (n,), in the order in which they were measured;
    seconds are NaN where nothing is known of them. kind: one of the three above. how: what was
    read, and what was assumed for its steps."""

    steps: Floats
    seconds: Floats
    returns: Floats
    kind: str
    how: str


def columns_of(found: Measured) -> dict[str, Floats]:
    """At most `ROWS` rows: each is the mean over a stretch of steps that has values, at the last of
    them. Raises ValueError for what cannot be a run's."""
    if found.kind == WINDOW:  # of no episode yet
        there = ~np.isnan(found.returns)
        found = replace(
            found,
            steps=found.steps[there],
            seconds=found.seconds[there],
            returns=found.returns[there],
        )
    steps, returns = found.steps, found.returns
    if not steps.size:
        raise ValueError("it has no return")
    if not (np.isfinite(steps).all() and steps.min() >= 0 and 0 < steps.max() < WHOLE):
        raise ValueError("its steps are not all numbers from 0 on")
    if not np.all(np.abs(returns) <= LARGEST):
        raise ValueError("not every return of it is a number")
    order = np.argsort(steps, kind="stable")
    steps, returns = steps[order], returns[order]
    stretch = np.ceil(steps / (steps[-1] / ROWS))
    last = np.append(np.flatnonzero(np.diff(stretch)), steps.size - 1)
    counts = np.diff(last, prepend=-1)
    columns = {
        "step": steps[last],
        TRAIN_CURVE: np.add.reduceat(returns, last - counts + 1) / counts,
        "train/episodes": counts.astype(np.float64),
    }
    if np.isfinite(found.seconds).all():
        columns["seconds"] = np.maximum.accumulate(found.seconds[order])[last]
    if found.kind == WINDOW:
        columns[RETURN] = returns[last]
    if found.kind == EPISODES:
        sums = np.concatenate([[0.0], np.cumsum(returns)])
        begin = np.maximum(0, last + 1 - RECENT)
        columns[RETURN] = (sums[last + 1] - sums[begin]) / (last + 1 - begin)
    return columns
