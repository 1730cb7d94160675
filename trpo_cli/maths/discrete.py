"""Distributions over finite sets, in closed form: categoricals and coins. See `distributions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.maths.arrays import Array, copy, namespace
from trpo_cli.maths.distributions import Distribution, Parameters, Pullback


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

    def probs(self) -> Array:
        """p of every category, (B, sum(sizes))."""
        return namespace(self.logits).exp(self.log_probs())

    def log_prob(self, actions: Array) -> Array:
        return self.log_prob_vjp(actions)[0]

    def _chosen(self, actions: Array) -> Array:
        """onehot(a) of every categorical, (B, sum(sizes))."""
        xp = namespace(self.logits)
        chosen = xp.zeros_like(self.logits)
        if xp is not np:  # an index that is made on the CPU would have to travel
            for i in range(len(self.sizes)):
                chosen.scatter_(1, actions[:, i : i + 1] + sum(self.sizes[:i]), 1.0)
            return chosen
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
        return ((self._chosen(actions) - self.probs()) * tangent.outputs).sum(1)

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
        size = max(1, len(self.logits))
        return Parameters((self.probs() - old.probs()) / size, self.logits.reshape(-1)[:0])

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

    def probs(self) -> Array:
        """p of a 1, (B, D)."""
        return namespace(self.logits).exp(-_softplus(-self.logits))

    def log_prob(self, actions: Array) -> Array:
        return self.log_prob_vjp(actions)[0]

    def log_prob_vjp(self, actions: Array) -> tuple[Array, Pullback]:
        """log p = -softplus((1 - 2a) l); d log p / d l = a - p."""
        chosen = namespace(self.logits).asarray(actions, dtype=self.logits.dtype)
        log_prob = -_softplus((1.0 - 2.0 * chosen) * self.logits).sum(1)

        def vjp(weights: Array) -> Parameters:
            scores = (chosen - self.probs()) * weights[:, None]
            return Parameters(scores, self.logits.reshape(-1)[:0])

        return log_prob, vjp

    def log_prob_jvp(self, actions: Array, tangent: Parameters) -> Array:
        """(a - p)' dl."""
        chosen = namespace(self.logits).asarray(actions, dtype=self.logits.dtype)
        return ((chosen - self.probs()) * tangent.outputs).sum(1)

    def entropy(self) -> Array:
        """softplus(l) - l p."""
        return (_softplus(self.logits) - self.logits * self.probs()).sum(1)

    def entropy_gradient(self) -> Parameters:
        """d H / d l = -l p (1 - p)."""
        p = self.probs()
        return Parameters(-self.logits * p * (1.0 - p) / len(p), self.logits.reshape(-1)[:0])

    def kl_from(self, old: Distribution) -> Array:
        """sum p_old (l_old - l_new) + softplus(l_new) - softplus(l_old)."""
        assert isinstance(old, Bernoulli)
        linear = old.probs() * (old.logits - self.logits)
        return (linear + _softplus(self.logits) - _softplus(old.logits)).sum(1)

    def kl_gradient(self, old: Distribution) -> Parameters:
        """p_new - p_old."""
        assert isinstance(old, Bernoulli)
        size = max(1, len(self.logits))
        return Parameters((self.probs() - old.probs()) / size, self.logits.reshape(-1)[:0])

    def fisher(self, tangent: Parameters) -> Parameters:
        """p (1 - p)."""
        p = self.probs()
        return Parameters(tangent.outputs * p * (1.0 - p) / len(p), tangent.extra)

    def rows(self, index: Any) -> Bernoulli:
        return Bernoulli(self.logits[index])

    def detach(self) -> Bernoulli:
        return Bernoulli(copy(self.logits))
