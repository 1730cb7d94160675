"""Where the trials of a search are compared, and how each one that falls behind is given up.

Two ways, by Optuna's pruners. `median` (`MedianPruner`): at 40, 60 and 80% of each seed's steps a
trial ends whose best worth so far lies below the median of the others at that point.

`halving` (`SuccessiveHalvingPruner`): asynchronous successive halving (ASHA), Li et al. 2020, "A
System for Massively Parallel Hyperparameter Tuning", algorithm 2, with reduction factor eta = 2.
What a trial spends doubles from one comparison to the next: 40% of the first seed, then 1, 2, 4,
8, ... whole seeds. Two departures from the paper, both Optuna's:

1. A trial is judged once, when it arrives: of n trials that came to a point, itself among them,
   the floor(n / 2) best pass, and one where that is none. The paper promotes it later if others
   turn out to be worse; here a trial that has ended stays so.
2. So the first trial always passes, and the second one only if it is the better one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MEDIAN, HALVING, NONE = PRUNERS = ("median", "halving", "none")
SHARES = (0.4, 0.6, 0.8)
"""Of a run's steps. Earlier curves say too little of where they end."""
PARTS = 10
"""Halving counts what a trial spent in tenths of a run."""
FIRST = round(SHARES[0] * PARTS)
"""Halving's first comparison. The k-th is Optuna's where FIRST 2^k tenths are spent, so the whole
seeds 1, 2, 4, ... (10, 20, 40, ... tenths) come after the bounds 8, 16, 32, ..., one each."""


@dataclass(frozen=True)
class Point:
    """number: Optuna's step. place: how many seeds a trial has behind it there. share: of the
    steps of the next one's run; 1: its end."""

    number: int
    place: int
    share: float

    def words(self, seeds: Sequence[int]) -> str:
        """seeds: of each trial's runs."""
        part = "the end" if self.share == 1 else f"{self.share:.0%}"
        return f"{part} of seed {seeds[self.place]}"


def points(prune: str, seeds: int) -> list[Point]:
    """Where trials of so many seeds are compared. At the end of the last one a trial is complete,
    so nothing is left to decide."""
    if prune != HALVING:
        each = len(SHARES)
        return [Point(n, n // each, SHARES[n % each]) for n in range(seeds * each)]
    ends = [2**k for k in range(math.ceil(math.log2(seeds)))]
    return [Point(FIRST, 0, SHARES[0]), *(Point(PARTS * n, n - 1, 1.0) for n in ends)]
