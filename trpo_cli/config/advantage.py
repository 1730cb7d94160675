"""The settings of the group `advantage`: what multiplies grad log pi, one dataclass per estimator.

Those with a learned V in them are of one scale in all states and are standardised. The others are
not: a mean taken away over the batch is a baseline of its own, one that depends on the actions it
judges, and would leave nothing of `average_baseline`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trpo_cli.settings import setting

STANDARDIZE = "subtract the batch's mean, divide by its standard deviation"
TARGETS = "lambda of the returns that the value function is fitted to; 1: Monte Carlo"


@dataclass
class MonteCarloConfig:
    """What the estimators by discounted sums of rewards have in common."""

    name: str = setting("", "the estimator")
    standardize: bool = setting(False, STANDARDIZE)
    discount_states: bool = setting(
        False,
        "weight each sample by gamma^t, t steps into its episode, as the gradient of the "
        "discounted return has it; usually dropped, since late states would hardly count",
    )
    value_lambda: float = setting(1.0, TARGETS, low=0, high=1)


@dataclass
class TotalReturnConfig(MonteCarloConfig):
    """The trajectory's discounted total return, for each of its steps (REINFORCE)."""

    name: str = setting("total_return", "the estimator", choices=["total_return"])


@dataclass
class RewardToGoConfig(MonteCarloConfig):
    """The discounted sum of the rewards from the step on."""

    name: str = setting("reward_to_go", "the estimator", choices=["reward_to_go"])


@dataclass
class AverageBaselineConfig(MonteCarloConfig):
    """Reward to go minus its average over previous rollouts, a constant."""

    name: str = setting("average_baseline", "the estimator", choices=["average_baseline"])
    rollouts: int = setting(10, "previous rollouts that the baseline is the average of", low=1)


@dataclass
class ValueBaselineConfig(MonteCarloConfig):
    """Reward to go minus V(s); `gae` with lambda 1."""

    name: str = setting("value_baseline", "the estimator", choices=["value_baseline"])
    standardize: bool = setting(True, STANDARDIZE)


@dataclass
class QValueConfig(MonteCarloConfig):
    """Q(s, a) by lambda-returns, without a baseline."""

    name: str = setting("q_value", "the estimator", choices=["q_value"])
    return_lambda: float = setting(
        0.95, "lambda of the returns; 1: rewards to go, which need no V", low=0, high=1
    )


@dataclass
class TDResidualConfig(MonteCarloConfig):
    """r + gamma V(s') - V(s) (actor-critic); `gae` with lambda 0.

    All it knows of later rewards is V, so V is fitted to long returns and not to r + gamma V(s').
    """

    name: str = setting("td_residual", "the estimator", choices=["td_residual"])
    standardize: bool = setting(True, STANDARDIZE)
    value_lambda: float = setting(0.95, TARGETS, low=0, high=1)


@dataclass
class GAEConfig:
    """Generalized advantage estimation (Schulman et al. 2016)."""

    name: str = setting("gae", "the estimator", choices=["gae"])
    gae_lambda: float = setting(0.95, "lambda of the advantage estimator", low=0, high=1)
    standardize: bool = setting(True, STANDARDIZE)
    discount_states: bool = setting(
        False, "weight each sample by gamma^t, t steps into its episode; usually dropped"
    )
    value_lambda: float | None = setting(None, TARGETS + "; null: gae_lambda", low=0, high=1)
