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

    def rows(self, index: Any) -> Gaussian:
        return Gaussian(self.mean[index], self.log_std)

    def detach(self) -> Gaussian:
        return Gaussian(copy(self.mean), copy(self.log_std))


@dataclass(frozen=True)
class Categorical:
    """Independent categoricals side by side: logits (B, sum(sizes)), actions (B, len(sizes)).

    A Discrete action space has one size, a MultiDiscrete one several.
    """

    logits: Array
    sizes: tuple[int, ...]

    def _parts(self, x: Array) -> list[Array]:
        """Columns of each categorical."""
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes))]
        return [x[:, end - n : end] for end, n in zip(ends, self.sizes, strict=True)]

    def _join(self, parts: list[Array]) -> Array:
        return parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts, 1)

    def log_probs(self) -> Array:
        """log p of every category, (B, sum(sizes))."""
        xp = namespace(self.logits)
        parts = []
        for logits in self._parts(self.logits):
            shifted = logits - xp.amax(logits, 1)[:, None]
            parts.append(shifted - xp.log(xp.exp(shifted).sum(1))[:, None])
        return self._join(parts)

    def log_prob(self, actions: Array) -> Array:
        return self.log_prob_vjp(actions)[0]

    def _chosen(self, actions: Array) -> Array:
        """onehot(a) of every categorical, (B, sum(sizes))."""
        xp = namespace(self.logits)
        chosen = xp.zeros_like(self.logits)
        rows = xp.arange(len(chosen))
        for i in range(len(self.sizes)):
            chosen[rows, actions[:, i] + sum(self.sizes[:i])] = 1.0
        return chosen

    def log_prob_vjp(self, actions: Array) -> tuple[Array, Pullback]:
        """d log p / d logits = onehot(a) - p."""
        xp = namespace(self.logits)
        log_probs, chosen = self.log_probs(), self._chosen(actions)

        def vjp(weights: Array) -> Parameters:
            scores = (chosen - xp.exp(log_probs)) * weights[:, None]
            return Parameters(scores, self.logits.reshape(-1)[:0])

        return (chosen * log_probs).sum(1), vjp

    def log_prob_jvp(self, actions: Array, tangent: Parameters) -> Array:
        """(onehot(a) - p)' dlogits."""
        probs = namespace(self.logits).exp(self.log_probs())
        return ((self._chosen(actions) - probs) * tangent.outputs).sum(1)

    def entropy(self) -> Array:
        log_probs = self.log_probs()
        return -(namespace(log_probs).exp(log_probs) * log_probs).sum(1)

    def entropy_gradient(self) -> Parameters:
        """d H / d logits = -p (log p + H), categorical by categorical."""
        xp = namespace(self.logits)
        parts = []
        for log_probs in self._parts(self.log_probs()):
            probs = xp.exp(log_probs)
            entropy = -(probs * log_probs).sum(1)
            parts.append(-probs * (log_probs + entropy[:, None]) / len(probs))
        return Parameters(self._join(parts), self.logits.reshape(-1)[:0])

    def kl_from(self, old: Distribution) -> Array:
        """sum p_old (log p_old - log p_new)."""
        assert isinstance(old, Categorical)
        log_old = old.log_probs()
        return (namespace(log_old).exp(log_old) * (log_old - self.log_probs())).sum(1)

    def kl_gradient(self, old: Distribution) -> Parameters:
        """p_new - p_old."""
        assert isinstance(old, Categorical)
        xp, size = namespace(self.logits), max(1, len(self.logits))
        difference = xp.exp(self.log_probs()) - xp.exp(old.log_probs())
        return Parameters(difference / size, self.logits.reshape(-1)[:0])

    def fisher(self, tangent: Parameters) -> Parameters:
        """diag(p) - p p^T."""
        xp = namespace(self.logits)
        tangents = self._parts(tangent.outputs)
        parts = []
        for log_probs, t in zip(self._parts(self.log_probs()), tangents, strict=True):
            probs = xp.exp(log_probs)
            weighted = probs * t
            parts.append((weighted - probs * weighted.sum(1)[:, None]) / len(probs))
        return Parameters(self._join(parts), tangent.extra)

    def rows(self, index: Any) -> Categorical:
        return Categorical(self.logits[index], self.sizes)

    def detach(self) -> Categorical:
        return Categorical(copy(self.logits), self.sizes)


def _softplus(x: Array) -> Array:
    """log(1 + e^x) without overflow."""
    xp = namespace(x)
    return xp.logaddexp(x, xp.zeros_like(x))


@dataclass(frozen=True)
class Bernoulli:
    """Independent coins: logits (B, D), actions (B, D) of 0 and 1 (a MultiBinary space)."""

    logits: Array

    def _probs(self) -> Array:
        return namespace(self.logits).exp(-_softplus(-self.logits))

    def log_prob(self, actions: Array) -> Array:
        return self.log_prob_vjp(actions)[0]

    def log_prob_vjp(self, actions: Array) -> tuple[Array, Pullback]:
        """log p = -softplus((1 - 2a) l); d log p / d l = a - p."""
        chosen = namespace(self.logits).asarray(actions, dtype=self.logits.dtype)
        log_prob = -_softplus((1.0 - 2.0 * chosen) * self.logits).sum(1)

        def vjp(weights: Array) -> Parameters:
            scores = (chosen - self._probs()) * weights[:, None]
            return Parameters(scores, self.logits.reshape(-1)[:0])

        return log_prob, vjp

    def log_prob_jvp(self, actions: Array, tangent: Parameters) -> Array:
        """(a - p)' dl."""
        chosen = namespace(self.logits).asarray(actions, dtype=self.logits.dtype)
        return ((chosen - self._probs()) * tangent.outputs).sum(1)

    def entropy(self) -> Array:
        """softplus(l) - l p."""
        return (_softplus(self.logits) - self.logits * self._probs()).sum(1)

    def entropy_gradient(self) -> Parameters:
        """d H / d l = -l p (1 - p)."""
        p = self._probs()
        return Parameters(-self.logits * p * (1.0 - p) / len(p), self.logits.reshape(-1)[:0])

    def kl_from(self, old: Distribution) -> Array:
        """sum p_old (l_old - l_new) + softplus(l_new) - softplus(l_old)."""
        assert isinstance(old, Bernoulli)
        linear = old._probs() * (old.logits - self.logits)
        return (linear + _softplus(self.logits) - _softplus(old.logits)).sum(1)

    def kl_gradient(self, old: Distribution) -> Parameters:
        """p_new - p_old."""
        assert isinstance(old, Bernoulli)
        size = max(1, len(self.logits))
        return Parameters((self._probs() - old._probs()) / size, self.logits.reshape(-1)[:0])

    def fisher(self, tangent: Parameters) -> Parameters:
        """p (1 - p)."""
        p = self._probs()
        return Parameters(tangent.outputs * p * (1.0 - p) / len(p), tangent.extra)

    def rows(self, index: Any) -> Bernoulli:
        return Bernoulli(self.logits[index])

    def detach(self) -> Bernoulli:
        return Bernoulli(copy(self.logits))


def mean_kl(old: Distribution, new: Distribution) -> Array:
    """Mean over the batch of KL(old || new), nats (TRPO paper, equation 12)."""
    return new.kl_from(old).mean()
