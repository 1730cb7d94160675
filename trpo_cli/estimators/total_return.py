"""The trajectory's discounted total return, for each of its steps: Psi_t = sum_k gamma^k r_k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.estimators.base import EstimatorConfig, Formula, Steps
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.psi import total_returns


@component("advantage")
@dataclass
class TotalReturnConfig(EstimatorConfig):
    """The trajectory's discounted total return, for each of its steps (REINFORCE)."""

    traits: ClassVar = EstimatorTraits(from_start=True)

    def build(self) -> Formula:
        return Formula(total_return)


def total_return(steps: Steps) -> Array:
    rewards, _, next_values, discounts, continues = steps
    return total_returns(rewards, next_values, discounts, continues)
