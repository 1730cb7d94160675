"""Which curve stands for learning: evaluations where there are enough, else the training episodes.

A mean over the last 100 finished episodes lags: where episodes are long it shows a policy of long
ago, and a table of final evaluations contradicts the curve's end. Evaluations have no lag, and an
iteration's own episodes have none either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.read import Run

EVAL_CURVE = "eval/return_mean"
TRAIN_CURVE = "train/return_mean"
ENOUGH = 5
"""Evaluations of each run that make a curve."""
SIDE = 0.02
"""Share of a run's iterations that are averaged over on either side."""
AXES = {"steps": "step", "seconds": "seconds", "updates": "iteration"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """key: of metrics.jsonl, or `EVAL_CURVE`. smoothed: by `smooth`, weighted by episodes."""

    key: str
    smoothed: bool = False

    @property
    def words(self) -> str:
        """What the curve is, for a caption, and how far behind the policy it is."""
        if self.smoothed:
            return (
                "return of each iteration's own training episodes (sampled actions), averaged over "
                f"iterations, {SIDE:.0%} of them to either side"
            )
        if self.key == EVAL_CURVE:
            return "return of the evaluations during training"
        if self.key == "train/return_recent":
            return (
                "return of the last 100 training episodes (it lags: part of them were played by "
                "earlier policies)"
            )
        return self.key

    @property
    def label(self) -> str:
        """Of the y axis."""
        return "return" if "return" in self.key else self.key

    def values(self, run: Run) -> tuple[dict[str, Floats], Floats]:
        """({axis: (n,)}, (n,)): where the metric was measured on each of `AXES`, and its values.
        Axes of evaluations are interpolated between iterations."""
        if self.key == EVAL_CURVE:
            return _evaluations(run)
        y = run.column(self.key)
        good = np.isfinite(y)
        y = y[good]
        if self.smoothed:
            y = smooth(y, run.column("train/episodes")[good])
        return {axis: run.column(key)[good] for axis, key in AXES.items()}, y


def choose_metric(runs: Sequence[Run], asked: str | None = None) -> Metric:
    """The metric asked for, else the one that follows the policies best among those that every run
    has. Where no training episode ended, few evaluations are better than none."""
    if asked is not None:
        return Metric(asked)
    training = Metric(TRAIN_CURVE, smoothed=True)
    fewest = min(_evaluations(run)[1].size for run in runs)
    silent = any(not training.values(run)[1].size for run in runs)
    if fewest >= ENOUGH or (silent and fewest):
        return Metric(EVAL_CURVE)
    return training


def smooth(values: Floats, episodes: Floats) -> Floats:
    """(n,): at each i the mean of the values within h places, weighted by the episodes behind them
    (1 where unknown); h = `SIDE` n, at least 1, and less at both ends, so that the window is
    centred everywhere and the curve neither lags nor leads."""
    n = values.size
    place = np.arange(n)
    half = np.minimum(max(1, round(SIDE * n)), np.minimum(place, n - 1 - place))
    weights = np.where(episodes >= 1.0, episodes, 1.0)
    sums = np.concatenate([[0.0], np.cumsum(weights * values)])
    counts = np.concatenate([[0.0], np.cumsum(weights)])
    low, high = place - half, place + half + 1
    return np.asarray((sums[high] - sums[low]) / (counts[high] - counts[low]))


def _evaluations(run: Run) -> tuple[dict[str, Floats], Floats]:
    """One evaluation per step, the first: later lines are those of trpo-eval."""
    found: dict[float, float] = {}
    for line in run.evaluations:
        if line["return_mean"] is not None:
            found.setdefault(float(line["step"]), float(line["return_mean"]))
    steps = np.array(sorted(found))
    places = {
        axis: steps if axis == "steps" else np.interp(steps, run.columns["step"], run.column(key))
        for axis, key in AXES.items()
    }
    return places, np.array([found[step] for step in steps])
