"""The normaliser takes in a batch before anything is learned from it.

New statistics move the policy a little, with the same parameters. It then differs from the policy
that acted before the update has begun: TRPO bounds the KL from the one that acted, so that its
trust region holds for both moves together. Later batches weigh less and less. The first batch was
collected without statistics, but by a fresh network, which says next to nothing yet: its last layer
starts near zero (`output_gain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.data.sequences import Memory
from trpo_cli.distributed.split import Split
from trpo_cli.maths.distributions import Distribution, mean_kl
from trpo_cli.models.policy import Policy

STATES = 64
"""About so many states the KL is a mean over: two passes over as many cost a twentieth of a
millisecond."""


@dataclass(frozen=True)
class Renormalized:
    """acted: the distributions of the policy that acted, in all B states; None where they are not
    asked for or there is no normaliser. metrics: `policy/normalizer_kl`, KL(before || after), the
    mean over some of the states; nothing without a normaliser."""

    acted: Distribution | None
    metrics: dict[str, float]


def renormalize(
    policy: Policy,
    observations: Any,
    steps: int,
    split: Split,
    whole: bool,
    memory: Memory | None = None,
) -> Renormalized:
    """Merge a batch of raw observations (B, *obs), step-major, into the policy's normaliser.

    steps: T. whole: ask for `acted`. memory: what a policy that remembers remembered of them.
    """
    if not policy.normalizer.enabled:
        return Renormalized(None, {})
    some = _some(len(observations), steps, split)

    def distribution(rows: Any) -> Distribution:
        if memory is not None:
            return policy.distribution(policy.inputs(observations, memory)[rows])
        return policy.distribution(policy.inputs(observations[rows]))

    acted = distribution(slice(None) if whole else some).detach()
    before = acted.rows(some) if whole else acted
    policy.normalizer.update(observations, split)
    kl = float(split.average(mean_kl(before, distribution(some))))
    return Renormalized(acted if whole else None, {"policy/normalizer_kl": kl})


def _some(rows: int, steps: int, split: Split) -> np.ndarray:
    """Rows of some steps of all environments, the same however these are spread over processes."""
    envs = rows // steps
    count = min(steps, max(1, STATES * steps // split.size(rows)))
    times = np.arange(count) * steps // count
    return np.asarray((times[:, None] * envs + np.arange(envs)).ravel())
