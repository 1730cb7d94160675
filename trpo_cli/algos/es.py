"""Evolution strategies (Salimans et al. 2017, arXiv 1703.03864): gradient ascent without gradients.

    F(theta)      the return of the policy that always takes its most likely action
    e_1 .. e_M    directions, e ~ N(0, I)
    g = sum_m (F(theta + sigma e_m) - F(theta - sigma e_m)) e_m / (2 M sigma)
    theta <- theta + alpha g, rescaled by Adam's moments

g is an unbiased estimate of grad E[F(theta + sigma e)], the gradient of a smoothed return. Nothing
is asked of the policy but its actions: neither its probabilities nor any derivative.

Departures from the paper:
1. No weight decay.
2. Observations are normalised by running statistics, as for the other rules, instead of virtual
   batch normalisation.
3. One process holds all perturbations; their episodes run in one batch of simulations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.components import RuleTraits, component
from trpo_cli.data.records import Evaluations
from trpo_cli.data.states import join, part
from trpo_cli.maths.adam import Adam, clip_norm
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.evolution import antithetic_gradient, centred_ranks
from trpo_cli.maths.schedule import SCHEDULES, scheduled
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class ESConfig:
    """Evolution strategies: gradient ascent on a smoothed return (Salimans et al. 2017)."""

    traits: ClassVar = RuleTraits(("evaluations",))

    sigma: float = setting(help="standard deviation of the perturbations", above=0)
    learning_rate: float = setting(help="step size", above=0)
    schedule: str = setting(help="step size over training", choices=SCHEDULES)
    optimizer: str = setting(help="how the gradient is applied", choices=["adam", "sgd"])
    shaping: str = setting(
        help="what scores count for: their ranks, or themselves", choices=["ranks", "none"]
    )

    def build(self, policy: Policy, value_coef: float = 0.0) -> ES:
        return ES(self, policy)


class ES:
    """One step per batch of perturbations."""

    def __init__(self, config: ESConfig, policy: Policy) -> None:
        self.config = config
        self._adam = Adam(policy.parameters)

    def update(
        self, policy: Policy, batch: Evaluations, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config = self.config
        scores = batch.scores
        if config.shaping == "ranks":
            scores = centred_ranks(scores)
        # The extra parameters (log standard deviations) take no part: nothing is sampled.
        gradient = np.zeros_like(policy.parameters)
        size = policy.network.num_parameters
        gradient[:size] = antithetic_gradient(batch.noise, scores, config.sigma)
        length = float(np.linalg.norm(gradient))
        reason = clip_norm(gradient, None)
        before = policy.parameters.copy()
        if not reason:
            learning_rate = scheduled(config.learning_rate, config.schedule, remaining)
            if config.optimizer == "adam":
                self._adam.step(-gradient, learning_rate)
            else:
                policy.parameters += learning_rate * gradient
        return {
            "es/score_mean": float(batch.scores.mean()),
            "es/score_std": float(batch.scores.std()),
            "es/pair_difference_std": float((batch.scores[0] - batch.scores[1]).std()),
            "es/gradient_norm": length,
            "es/step_norm": float(np.linalg.norm(policy.parameters - before)),
            "policy/skipped": reason,
        }

    def state(self) -> dict[str, Array]:
        return join({"adam": self._adam.state()})

    def load_state(self, state: dict[str, Array]) -> None:
        self._adam.load_state(part(state, "adam"))
