"""Reward to go: Psi_t = sum_(k >= t) gamma^(k - t) r_k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.estimators.base import EstimatorConfig, Formula, Steps
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.psi import rewards_to_go


@component("advantage")
@dataclass
class RewardToGoConfig(EstimatorConfig):
    """The discounted sum of the rewards from the step on."""

    traits: ClassVar = EstimatorTraits()

    def build(self) -> Formula:
        return Formula(reward_to_go)


def reward_to_go(steps: Steps) -> Array:
    rewards, _, next_values, discounts, continues = steps
    return rewards_to_go(rewards, next_values, discounts, continues)
