"""Reward to go minus V(s): Psi_t = sum_(k >= t) gamma^(k - t) r_k - V(s_t)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.estimators.base import DISCOUNT_STATES, STANDARDIZE, VALUE_LAMBDA, Formula
from trpo_cli.estimators.reward_to_go import reward_to_go
from trpo_cli.settings import setting


@component("advantage")
@dataclass
class ValueBaselineConfig:
    """Reward to go minus V(s); `gae` with lambda 1."""

    traits: ClassVar = EstimatorTraits(needs_value=True)

    standardize: bool = setting(help=STANDARDIZE)
    discount_states: bool = setting(help=DISCOUNT_STATES)
    value_lambda: float = setting(help=VALUE_LAMBDA, low=0, high=1)

    def build(self) -> Formula:
        return Formula(lambda steps: reward_to_go(steps) - steps.values)
