"""Curves of different runs on one grid of environment steps, seconds or updates.

Between two rows of a run the value is interpolated linearly. Before a run's first value and
behind its last there is none: nothing is extrapolated, and a group's curve ends with its shortest
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.metric import Metric
from trpo_cli.compare.read import Run

POINTS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """x, y: (points,), x increasing, y finite."""

    x: Floats
    y: Floats

    @property
    def empty(self) -> bool:
        return self.x.size == 0


def curves_of(run: Run, metric: Metric) -> dict[str, Curve]:
    """A run's curve of a metric on each of `AXES`, empty on one that its files do not tell."""
    places, y = metric.values(run)
    known = {axis: np.isfinite(x) for axis, x in places.items()}
    return {axis: Curve(x[known[axis]], y[known[axis]]) for axis, x in places.items()}


def span(curves: Sequence[Curve]) -> tuple[float, float]:
    """Where all curves have values: the latest beginning and the earliest end."""
    return max(float(c.x[0]) for c in curves), min(float(c.x[-1]) for c in curves)


def grid(groups: Sequence[Sequence[Curve]], points: int = POINTS) -> Floats:
    """One grid for the groups of a panel: equal steps from the first beginning to the last end,
    and each group's own beginning and end. A group with an empty curve has no part in it."""
    known = [span(curves) for curves in groups if not any(c.empty for c in curves)]
    if not known:
        return np.empty(0)
    ends = np.array(known).ravel()
    return np.union1d(np.linspace(ends.min(), ends.max(), points), ends)


def on_grid(curves: Sequence[Curve], x: Floats) -> Floats:
    """(runs, points): each curve at each x by linear interpolation; x within `span`."""
    return np.stack([np.interp(x, c.x, c.y) for c in curves])


def mean_height(c: Curve, start: float, end: float) -> float:
    """Area under a curve from start to end over end - start, by the trapezium rule on its own
    points: the mean over training, in units of the return."""
    inside = c.x[(c.x > start) & (c.x < end)]
    x = np.concatenate([[start], inside, [end]])
    y = np.interp(x, c.x, c.y)
    return float(np.trapezoid(y, x) / (end - start)) if end > start else float(y[0])


def first_crossing(c: Curve, threshold: float) -> tuple[float, bool]:
    """(x of the first value at or above the threshold, True), else (last x, False)."""
    above = np.flatnonzero(c.y >= threshold)
    return (float(c.x[above[0]]), True) if above.size else (float(c.x[-1]), False)
