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

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.epochs import MinibatchAscent
from trpo_cli.config import PPOPenaltyConfig
from trpo_cli.data.records import Batch
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.constraint import adapted_coefficient
from trpo_cli.maths.surrogate import unclipped_slope
from trpo_cli.models.policies import Policy


class PPOPenalty:
    """Epochs of penalised minibatch steps per batch."""

    def __init__(self, config: PPOPenaltyConfig, policy: Policy, value_coef: float = 0.0) -> None:
        """value_coef: weight of (V - R)^2 in the loss, for a network that gives V(s) as well."""
        self.config, self._value_coef = config, value_coef
        self._adam = Adam(policy.parameters, eps=1e-5)
        self.kl_coef = config.kl_coef

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config, kl_coef = self.config, self.kl_coef
        ascent = MinibatchAscent(
            policy, batch, self._adam, config, generator, remaining, self._value_coef
        )
        for _ in range(config.epochs):
            ascent.epoch(unclipped_slope, kl_coef)
            if not ascent.moved:
                break
        metrics = ascent.metrics()
        if config.kl_target is not None and ascent.moved:
            self.kl_coef = adapted_coefficient(kl_coef, metrics["policy/kl"], config.kl_target)
        return {**metrics, "policy/kl_coef": kl_coef}

    def state(self) -> dict[str, Array]:
        adam = {f"adam/{k}": v for k, v in self._adam.state().items()}
        return {**adam, "kl_coef": np.array([self.kl_coef])}

    def load_state(self, state: dict[str, Array]) -> None:
        self.kl_coef = float(state["kl_coef"][0])
        self._adam.load_state(
            {k.removeprefix("adam/"): v for k, v in state.items() if k.startswith("adam/")}
        )
