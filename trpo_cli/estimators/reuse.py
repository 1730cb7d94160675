"""Samples of earlier iterations, learned from once more (Queeney, Paschalidis and Cassandras 2021,
arXiv 2111.00072: generalised PPO and TRPO).

pi_k is the policy before the update, and pi_b the one that drew a sample, this time or one of the
last M - 1 times. The objective and the trust region are means over the samples of all M iterations:

    L(theta) = mean  pi_theta(a|s) / pi_b(a|s) A  =  mean  r w A,
               r = pi_theta(a|s) / pi_k(a|s),    w = min(pi_k(a|s) / pi_b(a|s), 2)

w stands in the advantages, so that an update rule sees a batch like any other. Its gradient has the
noise of a batch that is up to M times as large. A is estimated anew, by V as it is now. What this
pays is bias: the states are those that older policies came to, later rewards of a sample are those
of pi_b (the paper corrects them by V-trace), and w is cut, which bounds its variance (Ionides 2008,
"Truncated importance sampling").
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trpo_cli.data.records import Batch, Trajectories
from trpo_cli.maths.arrays import Array, as_numpy, namespace
from trpo_cli.maths.distributions import Distribution

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy

MOST = 2.0
"""Bound on w."""
ARRAYS = (
    *("observations", "actions", "rewards", "terminated", "truncated", "ends"),
    *("final_observations", "last_observations", "lives_lost", "first_times"),
)
"""The fields of trajectories that an estimate needs; the last two may be None."""


@dataclass(frozen=True)
class Samples:
    """Those of one iteration. trajectories: with the rewards that were learned from; log_probs:
    (B,), log pi_b(a|s)."""

    trajectories: Trajectories
    log_probs: np.ndarray


class Earlier:
    """The samples of the last iterations, at most `count` of these, the newest first."""

    def __init__(self, count: int) -> None:
        self._kept = deque[Samples](maxlen=count)

    def acted(self, policy: Policy, trajectories: Trajectories) -> Distribution:
        """pi_k in the states of the newest samples and of all that are kept: to be asked for before
        the normaliser moves."""
        everything = [trajectories, *(s.trajectories for s in self._kept)]
        raw = np.concatenate([t.flat_observations for t in everything])
        return policy.distribution(policy.inputs(raw)).detach()

    def join(
        self,
        policy: Policy,
        batch: Batch,
        trajectories: Trajectories,
        acted: Distribution,
        estimate: Callable[[Trajectories], Batch],
    ) -> tuple[Batch, dict[str, float | None]]:
        """A batch of the newest samples and all that are kept, which the newest then join; and what
        there is to say of the weights.

        batch: what the newest trajectories, with the rewards that are learned from, became. acted:
        what `acted` said. estimate: what makes such a batch of earlier ones. What V is fitted to is
        left as it is.
        """
        kept, size = list(self._kept), batch.size
        older = [estimate(s.trajectories) for s in kept]
        actions = _joined([b.actions for b in (batch, *older)])
        log_probs = as_numpy(acted.log_prob(actions))
        before = np.concatenate([log_probs[:0], *(s.log_probs for s in kept)])
        weights = np.minimum(np.exp(log_probs[size:] - before), np.float32(MOST))
        advantages = _joined([b.advantages for b in (batch, *older)])
        advantages[size:] *= policy.to_device(weights)
        self._kept.appendleft(Samples(trajectories, log_probs[:size].copy()))
        wide = dataclasses.replace(
            batch,
            observations=_joined([b.observations for b in (batch, *older)]),
            actions=actions,
            advantages=advantages,
            acted=acted,
        )
        return wide, _said(weights)

    def state(self) -> dict[str, Array]:
        """All that is kept, by its place: 0 is the newest."""
        found = dict[str, Array]()
        for place, samples in enumerate(self._kept):
            found[f"{place}/log_probs"] = samples.log_probs
            for name in ARRAYS:
                value = getattr(samples.trajectories, name)
                if value is not None:
                    found[f"{place}/{name}"] = value
        return found

    def load_state(self, state: dict[str, Array]) -> None:
        self._kept.clear()
        while f"{len(self._kept)}/log_probs" in state:
            place = len(self._kept)
            arrays = {n: state[f"{place}/{n}"] for n in ARRAYS if f"{place}/{n}" in state}
            trajectories = Trajectories(**arrays, episode_returns=[], episode_lengths=[])
            self._kept.append(Samples(trajectories, state[f"{place}/log_probs"]))


def _joined(parts: list[Array]) -> Array:
    return namespace(parts[0]).concatenate(parts)


def _said(weights: np.ndarray) -> dict[str, float | None]:
    """The effective share of the older samples, (sum w)^2 / (n sum w^2), and the share of weights
    at their bound; None where there are no such samples."""
    share = cut = None
    if len(weights):
        w = weights.astype(np.float64)
        share, cut = float(w.mean() ** 2 / (w * w).mean()), float((weights >= MOST).mean())
    return {"reuse/effective_share": share, "reuse/cut": cut}
