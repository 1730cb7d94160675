"""Proximal policy optimisation with a KL penalty (Schulman et al. 2017, section 4).

    maximise  mean (r A - beta KL(pi_old || pi_theta)),   r = pi_theta / pi_old

by several epochs of shuffled minibatches and Adam. Afterwards, with d the mean KL over the batch,

    d < d_target / 1.5:   beta <- beta / 2
    d > d_target * 1.5:   beta <- 2 beta

or, without a target, beta stays as it is.

Departures from the paper: those of `algos.ppo`, and
4. beta stays between 2^-20 and 2^20, and as it is after an update that moved nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.epochs import MinibatchConfig, MinibatchOptimizer
from trpo_cli.components import RuleTraits, component
from trpo_cli.data.records import Batch
from trpo_cli.errors import UserError
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.constraint import adapted_coefficient
from trpo_cli.maths.surrogate import unclipped_slope
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class PPOPenaltyConfig(MinibatchConfig):
    """Proximal policy optimisation with a KL penalty (Schulman et al. 2017, section 4)."""

    traits: ClassVar = RuleTraits(("trajectories",), minibatches=True, fits_value=True, reuses=True)

    kl_coef: float = setting(
        help="beta, the weight of the mean KL; the first one, if adapted", low=0
    )
    kl_target: float | None = setting(
        help="mean KL per update that beta is adapted to, nats: halved below 2/3 of it, doubled "
        "above 3/2; null: beta stays",
        above=0,
    )

    def build(self, policy: Policy, value_coef: float = 0.0) -> PPOPenalty:
        return PPOPenalty(self, policy, value_coef)

    def check(self, config: Any) -> None:
        """Raise `UserError` for a beta that adaptation cannot move."""
        if self.kl_target is not None and self.kl_coef == 0.0:
            raise UserError(
                f"algo.kl_coef=0 stays 0 when it is halved or doubled towards "
                f"algo.kl_target={self.kl_target}; start from a positive one such as 1, or give "
                "algo.kl_target=null for no penalty at all."
            )


class PPOPenalty:
    """Epochs of penalised minibatch steps per batch."""

    def __init__(self, config: PPOPenaltyConfig, policy: Policy, value_coef: float = 0.0) -> None:
        self.config, self.kl_coef = config, config.kl_coef
        self._optimizer = MinibatchOptimizer(config, policy, value_coef)

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        kl_coef, target = self.kl_coef, self.config.kl_target
        ascent = self._optimizer.ascend(
            policy, batch, generator, remaining, unclipped_slope, kl_coef
        )
        metrics = ascent.metrics()
        if target is not None and ascent.moved:
            self.kl_coef = adapted_coefficient(kl_coef, metrics["policy/kl"], target)
        return {**metrics, "policy/kl_coef": kl_coef}

    def state(self) -> dict[str, Array]:
        return {**self._optimizer.state(), "kl_coef": np.array([self.kl_coef])}

    def load_state(self, state: dict[str, Array]) -> None:
        self.kl_coef = float(state["kl_coef"][0])
        self._optimizer.load_state(state)
