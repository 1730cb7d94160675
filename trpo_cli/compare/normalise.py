"""Scores of different environments on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trpo_cli.compare.published import reference


@dataclass(frozen=True)
class Scale:
    """score -> (score - low) / (high - low). words: where low and high come from."""

    low: float
    high: float
    words: str

    def __call__(self, scores: Sequence[float]) -> np.ndarray:
        return (np.asarray(scores, dtype=np.float64) - self.low) / (self.high - self.low)


def human_scale(env: str) -> Scale | None:
    """0: a random player, 1: a human, both of the TRPO paper's Table 1. None elsewhere."""
    low, high = reference(env, "random"), reference(env, "human")
    if low is None or high is None:
        return None
    return Scale(low, high, "0 = random player, 1 = human (TRPO paper, Table 1)")


def range_scale(starts: Sequence[float], finals: Sequence[Sequence[float]]) -> Scale | None:
    """0: where training began, the mean of the runs' first values; 1: the best group's mean.

    starts: first value of each run's curve. finals: per group the final scores. Made of the runs
    compared, so that it moves when a group is added; the intervals take it as fixed. Where no
    group got above the start: from the lowest final score to the highest. None where all agree.
    """
    everything = np.concatenate([np.asarray(f, dtype=np.float64) for f in finals])
    low, high = float(np.mean(starts)), max(float(np.mean(f)) for f in finals)
    words = "0 = start of training (mean over all runs), 1 = best group's mean final performance"
    if not high > low:
        low, high = float(everything.min()), float(everything.max())
        words = "0 = lowest, 1 = highest final performance of a run"
    return Scale(low, high, words) if high > low else None
