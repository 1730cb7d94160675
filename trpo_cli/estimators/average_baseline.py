"""Reward to go minus its average over previous rollouts, a constant."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.estimators.base import EstimatorConfig, Steps
from trpo_cli.estimators.reward_to_go import reward_to_go
from trpo_cli.maths.arrays import Array
from trpo_cli.settings import setting


@component("advantage")
@dataclass
class AverageBaselineConfig(EstimatorConfig):
    """Reward to go minus its average over previous rollouts, a constant."""

    traits: ClassVar = EstimatorTraits()

    rollouts: int = setting(help="previous rollouts that the baseline is the average of", low=1)

    def build(self) -> AverageBaseline:
        return AverageBaseline(self.rollouts)


class AverageBaseline:
    """The average reward to go of the last K rollouts, zero before the first.

    Each counts from the next one on: the actions that it judges do not enter, and so it does not
    bias their gradient.
    """

    def __init__(self, rollouts: int) -> None:
        self._means: deque[float] = deque(maxlen=rollouts)

    @property
    def value(self) -> float:
        return sum(self._means) / len(self._means) if self._means else 0.0

    def psi(self, steps: Steps, split: Split = WHOLE) -> Array:
        """(T, N): rewards to go minus the baseline, which learns of them afterwards."""
        to_go = reward_to_go(steps)
        above = to_go - np.float32(self.value)
        self._means.append(float(split.average(to_go.mean())))
        return above

    def state(self) -> dict[str, Array]:
        return {"means": np.array(self._means, dtype=np.float64)}

    def load_state(self, state: dict[str, Array]) -> None:
        self._means.clear()
        self._means.extend(state["means"].tolist())
