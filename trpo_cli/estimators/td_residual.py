"""The TD residual (actor-critic): Psi_t = r_t + gamma V(s_(t+1)) - V(s_t)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.estimators.base import EstimatorConfig, Formula, Steps
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.returns import td_residuals


@component("advantage")
@dataclass
class TDResidualConfig(EstimatorConfig):
    """r + gamma V(s') - V(s) (actor-critic); `gae` with lambda 0.

    All it knows of later rewards is V, so V is fitted to long returns and not to r + gamma V(s').
    """

    traits: ClassVar = EstimatorTraits(needs_value=True)

    def build(self) -> Formula:
        return Formula(td_residual)


def td_residual(steps: Steps) -> Array:
    rewards, values, next_values, discounts, _ = steps
    return td_residuals(rewards, values, next_values, discounts)
