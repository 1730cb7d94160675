"""The normaliser takes in a batch before anything is learned from it.

New statistics move the policy a little, with the same parameters. It then differs from the policy
that acted before the update has begun: TRPO bounds the KL from the one that acted, so that its
trust region holds for both moves together. Later batches weigh less and less. The first batch was
collected without statistics, but by a fresh network, which says next to nothing yet: its last layer
starts near zero (`output_gain`). Where statistics alone would go beyond a rule's bound (a policy
that hardly explores, in states unlike those before), the normaliser goes part of the way and makes
up for it later, so that there is room for an update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.data.sequences import Memory
from trpo_cli.distributed.split import Split
from trpo_cli.maths.distributions import Distribution, mean_kl
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.policy import Policy

STATES = 64
"""About so many states the KL is a mean over: two passes over as many cost a twentieth of a
millisecond."""
NEAR = 0.25
"""Share of a bound beyond which the KL of some states is not taken for that of all."""
ROOM = 0.5
"""Share of a bound that goes to statistics which alone would go beyond it: updates need some."""
SMALLEST = 2.0**-20
"""Share of the way below which the normaliser stays where it was."""


@dataclass(frozen=True)
class Renormalized:
    """acted: the distributions of the policy that acted, in all B states; None where they are not
    asked for or there is no normaliser. metrics: `policy/normalizer_kl`, KL(before || after), the
    mean over some of the states, or over all where the bound is near; nothing without a
    normaliser."""

    acted: Distribution | None
    metrics: dict[str, float]


def renormalize(
    policy: Policy,
    observations: Any,
    steps: int,
    split: Split,
    whole: bool,
    bound: float | None = None,
    memory: Memory | None = None,
) -> Renormalized:
    """Merge a batch of raw observations (B, *obs), step-major, into the policy's normaliser.

    steps: T. whole: ask for `acted`. bound: on this KL, nats; half of it is used where all would
    be too much. memory: what a policy that remembers remembered of them.
    """
    normalizer = policy.normalizer
    if not (normalizer.enabled and isinstance(normalizer, Normalizer)):
        return Renormalized(None, {})
    some: Any = _some(len(observations), steps, split)

    def distribution(rows: Any) -> Distribution:
        if memory is not None:
            return policy.distribution(policy.inputs(observations, memory)[rows])
        return policy.distribution(policy.inputs(observations[rows]))

    acted = distribution(slice(None) if whole else some).detach()
    before = acted.rows(some) if whole else acted
    acting = normalizer.acting()
    normalizer.update(observations, split)

    def moved() -> float:
        return float(split.average(mean_kl(before, distribution(some))))

    kl = moved()
    if bound is not None and kl > NEAR * bound:
        if whole:
            before, some = acted, slice(None)
            kl = moved()
        part, room = 1.0, bound
        while kl > room:
            part, room = (0.5 * part if part > SMALLEST else 0.0), ROOM * bound
            normalizer.hold(acting, part)
            kl = moved()
    return Renormalized(acted if whole else None, {"policy/normalizer_kl": kl})


def _some(rows: int, steps: int, split: Split) -> np.ndarray:
    """Rows of some steps of all environments, the same however these are spread over processes."""
    envs = rows // steps
    count = min(steps, max(1, STATES * steps // split.size(rows)))
    times = np.arange(count) * steps // count
    return np.asarray((times[:, None] * envs + np.arange(envs)).ravel())
