"""Two workers in turn.

A machine's speed changes while it is measured: other programs run, its clock rises and falls. Two
measurements side by side share that, so their ratio says the same on a noisy machine as on a quiet
one, where the ratio of two figures minutes apart does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from benchmark.worker import Lap, total


class Measured(Protocol):
    def measure(self, seconds: float) -> Lap: ...


@dataclass(frozen=True)
class Comparison:
    """One thing against another.

    rate, other_rate: steps per second, medians. ratio: the median of `ratios`, which are rate by
    other rate, pair by pair. milliseconds: per 1,024 steps of the first thing, by phase.
    """

    rate: float
    other_rate: float
    ratio: float
    ratios: list[float]
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        """The median ratio and its spread."""
        return f"{self.ratio:.2f} [{min(self.ratios):.2f}, {max(self.ratios):.2f}]"


def compare(laps: Sequence[Lap], others: Sequence[Lap]) -> Comparison:
    whole = total(laps)
    ratios = [lap.rate / other.rate for lap, other in zip(laps, others, strict=True)]
    return Comparison(
        rate=median(lap.rate for lap in laps),
        other_rate=median(lap.rate for lap in others),
        ratio=median(ratios),
        ratios=ratios,
        milliseconds={p: 1024e3 * seconds / whole.steps for p, seconds in whole.phases.items()},
    )


def in_turn(first: Measured, second: Measured, pairs: int, seconds: float) -> Comparison:
    """Measure both `pairs` times, so many seconds each.

    The order changes from pair to pair, so that a speed that drifts favours neither.
    """
    laps: list[Lap] = []
    others: list[Lap] = []
    for pair in range(pairs):
        order = [(first, laps), (second, others)]
        for thing, its_laps in order if pair % 2 == 0 else reversed(order):
            its_laps.append(thing.measure(seconds))
    return compare(laps, others)
