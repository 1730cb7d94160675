"""Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017, 1707.06347).

    clip       maximise  mean min(r A, clip(r, 1 - eps, 1 + eps) A),   r = pi_theta / pi_old
    clip_only  maximise  mean clip(r, 1 - eps, 1 + eps) A
    spo        maximise  mean (r A - |A| (r - 1)^2 / (2 eps))   (Xie et al. 2025, 2401.16025)
    unclipped  maximise  mean r A

by several epochs of shuffled minibatches and Adam. The first is the paper's objective.
`clip_only` and `unclipped` show what its parts are for: without the min nothing brings back a
ratio that has left the interval on the wrong side, and without the clip nothing but the number of
steps bounds the change. `spo` has its maximum at the interval's end, 1 + sign(A) eps: where the
clip takes a sample's gradient away, this one pulls the ratio back.

Departures from the paper:
1. Policy and value function share nothing and are fitted one after the other, unless the
   network is one for both (`value=shared`, for images).
2. Advantages are standardised over the batch, not over each minibatch.
3. The gradient's norm is clipped, and the step size falls to zero over the last quarter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.epochs import Measure, MinibatchConfig, MinibatchOptimizer, Slope
from trpo_cli.components import RuleTraits, component
from trpo_cli.data.records import Batch
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.surrogate import (
    clip_fraction,
    clip_only_slope,
    clip_only_surrogate,
    clipped_slope,
    clipped_surrogate,
    spo_slope,
    spo_surrogate,
    surrogate,
    unclipped_slope,
)
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class PPOConfig(MinibatchConfig):
    """Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017)."""

    traits: ClassVar = RuleTraits(("trajectories",), minibatches=True, fits_value=True, reuses=True)

    objective: str = setting(
        help="clip: min(r A, clip(r) A); clip_only: clip(r) A, without the min; spo: r A - "
        "|A| (r - 1)^2 / (2 clip_range); unclipped: r A",
        choices=["clip", "clip_only", "spo", "unclipped"],
    )
    clip_range: float = setting(
        help="bound on |ratio - 1|", above=0, when="objective=clip|clip_only|spo"
    )
    target_kl: float | None = setting(
        help="end before a minibatch whose KL, the mean of r - 1 - log r, is larger, nats; null: "
        "never",
        above=0,
    )

    def build(self, policy: Policy, value_coef: float = 0.0) -> PPO:
        return PPO(self, policy, value_coef)


class PPO:
    """Epochs of clipped minibatch steps per batch."""

    def __init__(self, config: PPOConfig, policy: Policy, value_coef: float = 0.0) -> None:
        self.config = config
        self._optimizer = MinibatchOptimizer(config, policy, value_coef)
        bounded = {"clip_range": config.clip_range}
        objectives: dict[str, tuple[Measure, Slope]] = {
            "clip": (partial(clipped_surrogate, **bounded), partial(clipped_slope, **bounded)),
            "clip_only": (
                partial(clip_only_surrogate, **bounded),
                partial(clip_only_slope, **bounded),
            ),
            "spo": (partial(spo_surrogate, **bounded), partial(spo_slope, **bounded)),
            "unclipped": (surrogate, unclipped_slope),
        }
        self._objective, self._slope = objectives[config.objective]
        self._also: dict[str, Measure] = {
            "policy/surrogate_unclipped": surrogate,
            "policy/clip_fraction": partial(clip_fraction, **bounded),
        }

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        ascent = self._optimizer.ascend(
            policy, batch, generator, remaining, self._slope, target_kl=self.config.target_kl
        )
        return ascent.metrics(self._objective, self._also)

    def state(self) -> dict[str, Array]:
        return self._optimizer.state()

    def load_state(self, state: dict[str, Array]) -> None:
        self._optimizer.load_state(state)
