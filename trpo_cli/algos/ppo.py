"""Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017, 1707.06347).

    clip       maximise  mean min(r A, clip(r, 1 - eps, 1 + eps) A),   r = pi_theta / pi_old
    clip_only  maximise  mean clip(r, 1 - eps, 1 + eps) A
    unclipped  maximise  mean r A

by several epochs of shuffled minibatches and Adam. The first is the paper's objective. The other
two show what its parts are for: without the min nothing brings back a ratio that has left the
interval on the wrong side, and without the clip nothing but the number of steps bounds the change.

Departures from the paper:
1. Policy and value function share nothing and are fitted one after the other, unless the
   network is one for both (`value=shared`, for images).
2. Advantages are standardised over the batch, not over each minibatch.
3. The gradient's norm is clipped, and the step size falls to zero over the last quarter.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.epochs import MinibatchAscent, Slope
from trpo_cli.config import PPOConfig
from trpo_cli.data.records import Batch
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.surrogate import (
    clip_fraction,
    clip_only_slope,
    clipped_slope,
    unclipped_slope,
)
from trpo_cli.models.policies import Policy


class PPO:
    """Epochs of clipped minibatch steps per batch."""

    def __init__(self, config: PPOConfig, policy: Policy, value_coef: float = 0.0) -> None:
        """value_coef: weight of (V - R)^2 in the loss, for a network that gives V(s) as well."""
        self.config, self._value_coef = config, value_coef
        self._adam = Adam(policy.parameters, eps=1e-5)
        slopes: dict[str, Slope] = {
            "clip": partial(clipped_slope, clip_range=config.clip_range),
            "clip_only": partial(clip_only_slope, clip_range=config.clip_range),
            "unclipped": unclipped_slope,
        }
        self._slope = slopes[config.objective]

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config = self.config
        ascent = MinibatchAscent(
            policy, batch, self._adam, config, generator, remaining, self._value_coef
        )
        for _ in range(config.epochs):
            ascent.epoch(self._slope)
            if not ascent.moved:
                break
            if config.target_kl is not None and ascent.kl() > config.target_kl:
                break
        return ascent.metrics(partial(clip_fraction, clip_range=config.clip_range))

    def state(self) -> dict[str, Array]:
        return {f"adam/{k}": v for k, v in self._adam.state().items()}

    def load_state(self, state: dict[str, Array]) -> None:
        self._adam.load_state({k.removeprefix("adam/"): v for k, v in state.items()})
