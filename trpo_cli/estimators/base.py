"""What every advantage estimator is, and the settings that all of them have.

Those with a learned V in them are of one scale in all states and are standardised. The others are
not: a mean taken away over the batch is a baseline of its own, one that depends on the actions it
judges, and would leave nothing of `average_baseline`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.maths.arrays import Array
from trpo_cli.settings import setting

VALUE_LAMBDA = "lambda of the returns that the value function is fitted to; 1: Monte Carlo"


@dataclass
class EstimatorConfig:
    """The settings that every estimator has."""

    standardize: bool = setting(help="subtract the batch's mean, divide by its standard deviation")
    discount_states: bool = setting(
        help="weight each sample by gamma^t, t steps into its episode, as the gradient of the "
        "discounted return has it; usually dropped, since late states would hardly count"
    )
    value_lambda: float = setting(help=VALUE_LAMBDA, low=0, high=1)
    scale_rewards: bool = setting(
        help="divide rewards by the running standard deviation of the discounted return; returns "
        "are reported as they are"
    )
    reward_clip: float | None = setting(
        help="bound on scaled rewards; null: none", above=0, when="scale_rewards=true"
    )


class Steps(NamedTuple):
    """T steps of N environments, (T, N) each: see `maths.returns`."""

    rewards: Array
    values: Array
    next_values: Array
    discounts: Array
    continues: Array


class Estimator(Protocol):
    """From steps to Psi, what multiplies grad log pi."""

    def psi(self, steps: Steps, split: Split = WHOLE) -> Array:
        """(T, N). split: how the batch lies over processes."""
        ...

    def state(self) -> dict[str, Array]:
        """Arrays that resume the estimator; empty when it remembers nothing."""
        ...

    def load_state(self, state: dict[str, Array]) -> None: ...


class Formula:
    """An estimator that remembers nothing: a formula of the steps alone."""

    def __init__(self, formula: Callable[[Steps], Array]) -> None:
        self._formula = formula

    def psi(self, steps: Steps, split: Split = WHOLE) -> Array:
        return self._formula(steps)

    def state(self) -> dict[str, Array]:
        return {}

    def load_state(self, state: dict[str, Array]) -> None:
        """Nothing."""
