"""What every update rule is, and the measurements that all of them report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trpo_cli.algos.objectives import Objective
from trpo_cli.data.records import Batch
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution, Gaussian
from trpo_cli.maths.state_gaussian import StateGaussian

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy

Metrics = dict[str, Any]


class Algorithm(Protocol):
    """An update rule: the only writer of the policy's parameters."""

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        """Move theta once, given a batch collected by pi_theta.

        generator: minibatch order and subsamples. remaining: share of training still to come.
        """
        ...

    def state(self) -> dict[str, Array]:
        """Arrays that resume the rule (optimiser moments); empty when it has none."""
        ...

    def load_state(self, state: dict[str, Array]) -> None: ...


def policy_metrics(
    policy: Policy,
    batch: Batch,
    old: Distribution,
    objective: Objective,
    new: Distribution | None = None,
) -> Metrics:
    """How far the policy moved over the batch, and what that did to the objective.

    new: its distributions over the batch now, where they are known.
    """
    if new is None:
        new = policy.distribution(batch.observations)
    change = change_metrics(batch, old, new, objective.before, objective.at(new))
    return {**change, **objective.metrics()}


def change_metrics(
    batch: Batch, old: Distribution, new: Distribution, before: float, after: float
) -> Metrics:
    """Analytic KL(old || new) over the batch, entropy, and the objective before and after."""
    kl = new.kl_from(old)
    metrics: Metrics = {
        "policy/kl": float(batch.average(kl.mean())),
        "policy/kl_max": float(batch.split.max(kl.max())),
        "policy/entropy": float(batch.average(new.entropy().mean())),
        "policy/surrogate_before": before,
        "policy/surrogate_after": after,
    }
    if isinstance(new, Gaussian):
        metrics["policy/std_mean"] = float(new.std().mean())
    elif isinstance(new, StateGaussian):
        metrics["policy/std_mean"] = float(batch.average(new.std().mean()))
    return metrics
