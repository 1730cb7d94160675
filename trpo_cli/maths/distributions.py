"""Action distributions in closed form: log-probability, entropy, KL, Fisher metric, gradients.

A distribution belongs to B states. Its parameters are the network's `outputs` (B, D) and an
`extra` vector (E,) that does not depend on the state (the Gaussian's log standard deviations).
Gradients with respect to both travel as a `Parameters` pair; the network's transposed Jacobian
turns them into gradients with respect to theta. Autograd is the oracle in the tests.

The KL divergence has one direction everywhere: ``new.kl_from(old)`` is KL(old || new).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from trpo_cli.maths.arrays import Array, copy, namespace

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Parameters(NamedTuple):
    """A tangent or a gradient in distribution space: outputs (B, D) and extra (E,)."""

    outputs: Array
    extra: Array

    def times(self, weight: float) -> Parameters:
        """weight self."""
        return Parameters(self.outputs * weight, self.extra * weight)

    def plus(self, weight: float, other: Parameters) -> Parameters:
        """self + weight other."""
        return Parameters(self.outputs + weight * other.outputs, self.extra + weight * other.extra)


Pullback = Callable[[Array], Parameters]


class Distribution(Protocol):
    """What an update rule may ask of a policy's distributions in B states."""

    def log_prob(self, actions: Array) -> Array:
        """log pi(a|s), (B,)."""
        ...

    def log_prob_vjp(self, actions: Array) -> tuple[Array, Pullback]:
        """log pi(a|s) (B,) and the map from weights w (B,) to the gradient of sum_b w_b log pi."""
        ...

    def log_prob_jvp(self, actions: Array, tangent: Parameters) -> Array:
        """How fast each log pi(a|s) grows along a tangent, (B,)."""
        ...

    def entropy(self) -> Array:
        """H(pi(.|s)) in nats, (B,)."""
        ...

    def entropy_gradient(self) -> Parameters:
        """Gradient of the batch's mean entropy."""
        ...

    def kl_from(self, old: Distribution) -> Array:
        """KL(old || self) in nats, (B,)."""
        ...

    def kl_gradient(self, old: Distribution) -> Parameters:
        """Gradient of the batch's mean KL(old || self) with respect to self's parameters."""
        ...

    def fisher(self, tangent: Parameters) -> Parameters:
        """M t / B: the Fisher metric of each state's distribution, averaged over the batch."""
        ...

    def rows(self, index: Any) -> Distribution:
        """The distributions of some of the states: a slice, or their numbers."""
        ...

    def detach(self) -> Distribution:
        """A copy that later writes to the policy's parameters cannot change."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """N(mean (B, A), diag(exp(log_std (A,)))^2)."""

    mean: Array
    log_std: Array

    def log_prob(self, actions: Array) -> Array:
        return self.log_prob_vjp(actions)[0]

    def log_prob_vjp(self, actions: Array) -> tuple[Array, Pullback]:
        """d log p / d mean = z / sigma, d log p / d log sigma = z^2 - 1, z = (a - mean) / sigma."""
        xp = namespace(self.mean)
        inverse_std = xp.exp(-self.log_std)
        z = (actions - self.mean) * inverse_std
        squares = z * z
        constant = self.log_std.sum() + HALF_LOG_2PI * len(self.log_std)
        # A product with a constant vector: several times cheaper than a sum over a short axis.
        log_prob = squares @ xp.full_like(self.log_std, -0.5) - constant

        def vjp(weights: Array) -> Parameters:
            mean = z * inverse_std * weights[:, None]
            return Parameters(mean, weights @ squares - weights.sum())

        return log_prob, vjp

    def log_prob_jvp(self, actions: Array, tangent: Parameters) -> Array:
        """sum_j z / sigma dmean + (z^2 - 1) dlog sigma."""
        inverse_std = namespace(self.mean).exp(-self.log_std)
        z = (actions - self.mean) * inverse_std
        along_mean = (z * tangent.outputs) @ inverse_std
        return along_mean + (z * z) @ tangent.extra - tangent.extra.sum()

    def entropy(self) -> Array:
        """Sum of log sigma + (1 + log 2 pi) / 2."""
        constant = self.log_std.sum() + (0.5 + HALF_LOG_2PI) * len(self.log_std)
        return namespace(self.mean).zeros_like(self.mean[:, 0]) + constant

    def entropy_gradient(self) -> Parameters:
        xp = namespace(self.mean)
        return Parameters(xp.zeros_like(self.mean), xp.ones_like(self.log_std))

    def kl_from(self, old: Distribution) -> Array:
        """sum log(s_new / s_old) + (s_old^2 + (m_old - m_new)^2) / (2 s_new^2) - 1/2."""
        assert isinstance(old, Gaussian)
        xp = namespace(self.mean)
        precision = xp.exp(-2.0 * self.log_std)
        log_ratio = self.log_std - old.log_std
        # exp(-2 log_ratio) - 1 + 2 log_ratio, without the cancellation near equal deviations.
        spread = xp.expm1(-2.0 * log_ratio) + 2.0 * log_ratio
        shift = old.mean - self.mean
        return 0.5 * ((shift * shift) @ precision + spread.sum())

    def kl_gradient(self, old: Distribution) -> Parameters:
        """(m_new - m_old) / s_new^2 and 1 - (s_old^2 + (m_old - m_new)^2) / s_new^2."""
        assert isinstance(old, Gaussian)
        xp, size = namespace(self.mean), max(1, len(self.mean))
        precision = xp.exp(-2.0 * self.log_std)
        shift = self.mean - old.mean
        spread = -xp.expm1(2.0 * (old.log_std - self.log_std)) * (len(shift) / size)
        squares = (shift * shift).sum(0) * (precision / size)
        return Parameters(shift * (precision / size), spread - squares)

    def fisher(self, tangent: Parameters) -> Parameters:
        """1 / sigma^2 on the mean, 2 on each log sigma."""
        precision = namespace(self.mean).exp(-2.0 * self.log_std)
        size = max(1, len(self.mean))  # of a spread batch, a process may have no state at all
        return Parameters(tangent.outputs * (precision / size), 2.0 * tangent.extra)

    def std(self) -> Array:
        """Standard deviations, (A,)."""
        return namespace(self.mean).exp(self.log_std)

    def rows(self, index: Any) -> Gaussian:
        return Gaussian(self.mean[index], self.log_std)

    def detach(self) -> Gaussian:
        return Gaussian(copy(self.mean), copy(self.log_std))


def mean_kl(old: Distribution, new: Distribution) -> Array:
    """Mean over the batch of KL(old || new), nats (TRPO paper, equation 12)."""
    return new.kl_from(old).mean()
