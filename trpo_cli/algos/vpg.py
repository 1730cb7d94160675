"""Vanilla policy gradient: PPO without the clip and the epochs.

    theta <- theta + alpha mean A grad log pi(a|s)

one step per batch, plain (`optimizer: sgd`) or rescaled by Adam's moments.

Departures from the textbook:
1. The factor gamma^t in front of the score is dropped, as is usual, unless
   `advantage.discount_states` asks for it.
2. A stands for what `advantage` chooses, by default from a learned value function (GAE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trpo_cli.algos.base import Metrics, policy_metrics
from trpo_cli.algos.objectives import objective_of
from trpo_cli.components import RuleTraits, component
from trpo_cli.data.records import Batch
from trpo_cli.data.states import join, part
from trpo_cli.maths.adam import Adam, clip_norm
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.schedule import SCHEDULES, scheduled
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class VPGConfig:
    """Vanilla policy gradient: theta + alpha grad J."""

    traits: ClassVar = RuleTraits(fits_value=True, reuses=True)

    learning_rate: float = setting(help="step size", above=0)
    optimizer: str = setting(help="how the gradient is applied", choices=["adam", "sgd"])
    schedule: str = setting(help="step size over training", choices=SCHEDULES)
    entropy_coef: float = setting(help="weight of the entropy bonus", low=0)
    max_grad_norm: float | None = setting(help="clip the gradient's norm; null: never", above=0)

    def build(self, policy: Policy, value_coef: float = 0.0) -> VPG:
        return VPG(self, policy, value_coef)


class VPG:
    """One gradient step per batch."""

    def __init__(self, config: VPGConfig, policy: Policy, value_coef: float = 0.0) -> None:
        """value_coef: weight of (V - R)^2 in the loss, for a network that gives V(s) as well."""
        self.config, self._value_coef = config, value_coef
        self._adam = Adam(policy.parameters)

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config = self.config
        here = policy.linearize(batch.observations)
        old = here.distribution.detach()
        objective = objective_of(policy, here, batch, config.entropy_coef, self._value_coef)
        gradient = objective.gradient
        reason = clip_norm(gradient, config.max_grad_norm)
        if not reason:
            learning_rate = scheduled(config.learning_rate, config.schedule, remaining)
            if config.optimizer == "adam":
                self._adam.step(-gradient, learning_rate)
            else:
                policy.parameters[:] += learning_rate * gradient
            policy.hold()
        return {
            **policy_metrics(policy, batch, old, objective),
            "policy/skipped": reason,
        }

    def state(self) -> dict[str, Array]:
        return join({"adam": self._adam.state()})

    def load_state(self, state: dict[str, Array]) -> None:
        self._adam.load_state(part(state, "adam"))
