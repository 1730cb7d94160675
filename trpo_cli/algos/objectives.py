"""What an update rule maximises, at theta_old and elsewhere.

    single path    mean over samples of r A, r = pi_theta / pi_old
    vine           mean over rollout states of L_n(theta), `maths.vine`
    both           w mean(r A) + (1 - w) mean L_n, the trunk's samples beside the branches

All have the same value of the gradient whether the rule is VPG, NPG or TRPO, so these know
nothing of where theirs comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from trpo_cli.data.records import Batch, BranchBatch
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution, Parameters
from trpo_cli.maths.surrogate import surrogate
from trpo_cli.maths.vine import (
    effective_sample_size,
    finite_action,
    normalized_weights,
    self_normalized,
)

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy, PolicyLinearization


class Objective(Protocol):
    """before: its value at theta_old, without bonuses; gradient: (P,), there, with them."""

    before: float
    gradient: Array

    def at(self, new: Distribution) -> float:
        """Its value now; new: the policy's distributions in the batch's states."""
        ...

    def metrics(self) -> dict[str, float]:
        """What it has to say of the policy that `at` was asked for last."""
        ...


class SinglePathObjective:
    """mean r A over the batch (TRPO paper, equation 14).

    entropy_coef, value_coef: weights of the mean entropy, and of -(V - R)^2 of a network that
    gives V(s) as well, in the gradient alone.
    """

    def __init__(
        self,
        here: PolicyLinearization,
        batch: Batch,
        entropy_coef: float = 0.0,
        value_coef: float = 0.0,
    ) -> None:
        self._batch = batch
        self.before = float(batch.average(batch.advantages.mean()))
        self.old_log_prob, vjp = here.distribution.log_prob_vjp(batch.actions)
        ascent = vjp(batch.advantages / batch.size)
        self.gradient = _with_bonuses(here, batch, ascent, entropy_coef, value_coef)

    def at(self, new: Distribution) -> float:
        batch = self._batch
        log_prob = new.log_prob(batch.actions)
        return float(batch.average(surrogate(log_prob, self.old_log_prob, batch.advantages)))

    def metrics(self) -> dict[str, float]:
        return {}


class VineObjective:
    """mean over the rollout states of L_n. The bonuses are those of the trunk's states."""

    def __init__(
        self,
        policy: Policy,
        branches: BranchBatch,
        trunk: PolicyLinearization,
        batch: Batch,
        entropy_coef: float = 0.0,
        value_coef: float = 0.0,
    ) -> None:
        self._policy, self._branches = policy, branches
        here = policy.linearize(branches.observations)
        count, k = branches.values.shape
        log_prob, vjp = here.tried(k).log_prob_vjp(branches.actions)
        self._latest = log_prob.reshape(count, k)
        each, slope = self._objective(self._latest)
        self.before = float(each.mean())
        self.gradient = here.vjp(here.fold(vjp(slope.reshape(-1) / count), k))
        if entropy_coef or trunk.values is not None:
            nothing = trunk.distribution.entropy_gradient().times(0.0)
            self.gradient += _with_bonuses(trunk, batch, nothing, entropy_coef, value_coef)

    def _objective(self, log_prob: Array) -> tuple[Array, Array]:
        branches = self._branches
        if branches.log_proposal is None:
            return finite_action(log_prob, branches.values)
        return self_normalized(log_prob, branches.log_proposal, branches.values)

    def _log_prob(self) -> Array:
        count, k = self._branches.values.shape
        here = self._policy.tried(self._branches.observations, k)
        return here.log_prob(self._branches.actions).reshape(count, k)

    def at(self, new: Distribution) -> float:
        self._latest = self._log_prob()
        return float(self._objective(self._latest)[0].mean())

    def metrics(self) -> dict[str, float]:
        """The effective sample size of the weights where `at` was asked last, of K."""
        branches = self._branches
        if branches.log_proposal is None:
            return {}
        weights = normalized_weights(self._latest, branches.log_proposal)
        return {"vine/effective_sample_size": float(effective_sample_size(weights).mean())}


class TrunkAndBranches:
    """w mean(r A) + (1 - w) mean L_n. A bonus that is in both terms is whole in their sum."""

    def __init__(self, trunk: Objective, branches: Objective, weight: float) -> None:
        self._trunk, self._branches, self._weight = trunk, branches, weight
        self.before = self._mean(trunk.before, branches.before)
        self.gradient = self._mean(trunk.gradient, branches.gradient)

    def _mean(self, trunk: Any, branches: Any) -> Any:
        return self._weight * trunk + (1.0 - self._weight) * branches

    def at(self, new: Distribution) -> float:
        return float(self._mean(self._trunk.at(new), self._branches.at(new)))

    def metrics(self) -> dict[str, float]:
        return {"vine/trunk_weight": self._weight, **self._branches.metrics()}


def objective_of(
    policy: Policy,
    here: PolicyLinearization,
    batch: Batch,
    entropy_coef: float = 0.0,
    value_coef: float = 0.0,
) -> Objective:
    """What a batch asks to be maximised. here: the policy at the batch's states."""
    branches = batch.branches
    if branches is None:
        return SinglePathObjective(here, batch, entropy_coef, value_coef)
    vine = VineObjective(policy, branches, here, batch, entropy_coef, value_coef)
    if branches.trunk_weight is None:
        return vine
    trunk = SinglePathObjective(here, batch, entropy_coef, value_coef)
    return TrunkAndBranches(trunk, vine, branches.trunk_weight)


def entropy_bonus(batch: Batch, distribution: Distribution, coef: float) -> float:
    """c_H times the mean entropy over the batch, whose gradient an `Objective` can hold."""
    return coef * float(batch.average(distribution.entropy().mean())) if coef else 0.0


def _with_bonuses(
    here: PolicyLinearization,
    batch: Batch,
    ascent: Parameters,
    entropy_coef: float,
    value_coef: float,
) -> Array:
    """The gradient (P,) along `ascent`, plus c grad H - c_v grad (V - R)^2 over the batch."""
    if entropy_coef:
        bonus = here.distribution.entropy_gradient()
        ascent = ascent.plus(entropy_coef * batch.share, bonus)
    values = None
    if here.values is not None:
        values = -value_slope(here.values, batch.targets, value_coef, batch.size)
    return batch.sum(here.vjp(ascent, values))


def value_slope(values: Array, targets: Array, coef: float, size: int) -> Array:
    """Derivative of coef mean (V - R)^2, a mean over `size` samples, with respect to V, (B,)."""
    return (values - targets) * (2.0 * coef / size)
