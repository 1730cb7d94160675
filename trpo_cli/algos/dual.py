"""Dual gradient descent on TRPO's constraint (Boyd & Vandenberghe 2004, section 5.1).

    maximise  mean r A   subject to   mean KL(pi_old || pi_theta) <= delta

    L(theta, lambda) = mean r A - lambda (mean KL - delta),   min over lambda >= 0 of max over theta

    1. a few gradient steps up L in theta: epochs of shuffled minibatches and Adam
    2. lambda <- max(0, lambda + (step / delta) (mean KL - delta))

once per batch. lambda goes on from batch to batch: every batch has a problem of its own, but its
multiplier is close to the last one's. While lambda is positive its changes add up, so that the mean
KL over many batches is delta.

Departures from the textbook:
1. The maximisation in theta stops after a few epochs.
2. One step of lambda per batch, on a problem that changes with the batch.
3. The step in lambda is given relative to delta.
4. lambda stays as it is after an update that moved nothing.
5. Those of `algos.ppo`.
"""

from __future__ import annotations

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.epochs import MinibatchAscent
from trpo_cli.config import DualConfig
from trpo_cli.data.records import Batch
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.constraint import dual_ascent
from trpo_cli.maths.surrogate import unclipped_slope
from trpo_cli.models.policies import Policy


class Dual:
    """A few epochs up the Lagrangian in theta, one step in lambda."""

    def __init__(self, config: DualConfig, policy: Policy, value_coef: float = 0.0) -> None:
        """value_coef: weight of (V - R)^2 in the loss, for a network that gives V(s) as well."""
        self.config, self._value_coef = config, value_coef
        self._adam = Adam(policy.parameters, eps=1e-5)
        self.multiplier = config.multiplier

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config, multiplier = self.config, self.multiplier
        ascent = MinibatchAscent(
            policy, batch, self._adam, config, generator, remaining, self._value_coef
        )
        for _ in range(config.epochs):
            ascent.epoch(unclipped_slope, multiplier)
            if not ascent.moved:
                break
        metrics = ascent.metrics()
        if ascent.moved:
            kl = metrics["policy/kl"]
            self.multiplier = dual_ascent(multiplier, kl, config.max_kl, config.multiplier_step)
        return {**metrics, "policy/multiplier": multiplier}

    def state(self) -> dict[str, Array]:
        adam = {f"adam/{k}": v for k, v in self._adam.state().items()}
        return {**adam, "multiplier": np.array([self.multiplier])}

    def load_state(self, state: dict[str, Array]) -> None:
        self.multiplier = float(state["multiplier"][0])
        self._adam.load_state(
            {k.removeprefix("adam/"): v for k, v in state.items() if k.startswith("adam/")}
        )
