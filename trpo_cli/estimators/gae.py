"""Generalized advantage estimation: Psi_t = sum_l (gamma lambda)^l delta_(t+l)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.estimators.base import VALUE_LAMBDA, EstimatorConfig, Formula
from trpo_cli.maths.returns import generalized_advantages
from trpo_cli.settings import setting


@component("advantage")
@dataclass
class GAEConfig(EstimatorConfig):
    """Generalized advantage estimation (Schulman et al. 2016)."""

    traits: ClassVar = EstimatorTraits(needs_value=True)

    gae_lambda: float = setting(help="lambda of the advantage estimator", low=0, high=1)
    value_lambda: float | None = setting(  # type: ignore[assignment]
        help=VALUE_LAMBDA + "; null: gae_lambda", low=0, high=1
    )

    def build(self) -> Formula:
        return Formula(lambda steps: generalized_advantages(*steps, self.gae_lambda))
