"""What every update rule is, and the measurements that all of them report."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution
from trpo_cli.maths.surrogate import surrogate
from trpo_cli.models.policies import Policy, PolicyLinearization
from trpo_cli.records import Batch

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


def policy_gradient(
    policy: PolicyLinearization, batch: Batch, entropy_coef: float = 0.0
) -> tuple[Array, Array]:
    """g = mean A grad log pi(a|s) (+ c grad H), (P,), and log pi(a|s), (B,)."""
    log_prob, vjp = policy.distribution.log_prob_vjp(batch.actions)
    gradient = policy.vjp(vjp(batch.advantages / len(log_prob)))
    if entropy_coef:
        gradient += entropy_coef * policy.vjp(policy.distribution.entropy_gradient())
    return gradient, log_prob


def policy_metrics(policy: Policy, batch: Batch, old: Distribution, old_log_prob: Array) -> Metrics:
    """How far the policy moved over the batch: analytic KL(old || new), surrogate, entropy."""
    new = policy.distribution(batch.observations)
    kl = new.kl_from(old)
    after = surrogate(new.log_prob(batch.actions), old_log_prob, batch.advantages)
    metrics: Metrics = {
        "policy/kl": float(kl.mean()),
        "policy/kl_max": float(kl.max()),
        "policy/entropy": float(new.entropy().mean()),
        "policy/surrogate_before": float(batch.advantages.mean()),
        "policy/surrogate_after": float(after),
    }
    if policy.std_mean is not None:
        metrics["policy/std_mean"] = policy.std_mean
    return metrics
