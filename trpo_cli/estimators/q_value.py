"""Q(s, a) by lambda-returns, without a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trpo_cli.components import EstimatorTraits, component
from trpo_cli.errors import UserError
from trpo_cli.estimators.base import EstimatorConfig, Formula
from trpo_cli.maths.psi import lambda_returns
from trpo_cli.settings import setting


@component("advantage")
@dataclass
class QValueConfig(EstimatorConfig):
    """Q(s, a) by lambda-returns, without a baseline."""

    traits: ClassVar = EstimatorTraits()

    return_lambda: float = setting(
        help="lambda of the returns; 1: rewards to go, which need no V", low=0, high=1
    )

    def build(self) -> Formula:
        return Formula(lambda steps: lambda_returns(*steps, self.return_lambda))

    def check(self, config: Any) -> None:
        """Raise `UserError` where V is mixed in and there is none."""
        if not config.value.traits.learned and self.return_lambda < 1.0:
            raise UserError(
                f"advantage.return_lambda={self.return_lambda} mixes in V, and "
                f"value={config.value.name} has none; give advantage.return_lambda=1, or leave "
                f"value={config.value.name} out."
            )
