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

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.epochs import MinibatchConfig, MinibatchOptimizer
from trpo_cli.components import RuleTraits, component
from trpo_cli.data.records import Batch
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.constraint import dual_ascent
from trpo_cli.maths.surrogate import unclipped_slope
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class DualConfig(MinibatchConfig):
    """Dual gradient descent on the bound of the mean KL: r A - lambda (KL - max_kl)."""

    traits: ClassVar = RuleTraits(("trajectories",), minibatches=True, fits_value=True)

    max_kl: float = setting(help="delta, the bound on the batch's mean KL(old || new)", above=0)
    multiplier: float = setting(help="the first lambda", low=0)
    multiplier_step: float = setting(
        help="what lambda grows by in an update whose KL is twice max_kl", above=0
    )

    def build(self, policy: Policy, value_coef: float = 0.0) -> Dual:
        return Dual(self, policy, value_coef)


class Dual:
    """A few epochs up the Lagrangian in theta, one step in lambda."""

    def __init__(self, config: DualConfig, policy: Policy, value_coef: float = 0.0) -> None:
        self.config, self.multiplier = config, config.multiplier
        self._optimizer = MinibatchOptimizer(config, policy, value_coef)

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config, multiplier = self.config, self.multiplier
        ascent = self._optimizer.ascend(
            policy, batch, generator, remaining, unclipped_slope, multiplier
        )
        metrics = ascent.metrics()
        if ascent.moved:
            kl = metrics["policy/kl"]
            self.multiplier = dual_ascent(multiplier, kl, config.max_kl, config.multiplier_step)
        return {**metrics, "policy/multiplier": multiplier}

    def state(self) -> dict[str, Array]:
        return {**self._optimizer.state(), "multiplier": np.array([self.multiplier])}

    def load_state(self, state: dict[str, Array]) -> None:
        self.multiplier = float(state["multiplier"][0])
        self._optimizer.load_state(state)
