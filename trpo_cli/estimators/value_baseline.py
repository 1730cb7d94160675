"""Reward to go minus V(s): Psi_t = sum_(k >= t) gamma^(k - t) r_k - V(s_t)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.estimators.base import EstimatorConfig, Formula
from trpo_cli.estimators.reward_to_go import reward_to_go


@component("advantage")
@dataclass
class ValueBaselineConfig(EstimatorConfig):
    """Reward to go minus V(s); `gae` with lambda 1."""

    traits: ClassVar = EstimatorTraits(needs_value=True)

    def build(self) -> Formula:
        return Formula(lambda steps: reward_to_go(steps) - steps.values)
