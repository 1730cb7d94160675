"""A Gaussian whose deviation depends on the state, in closed form.

The network gives 2 A numbers, of each action its mean m and a number u; with c the first log
deviation

    log sigma = c + 3 tanh(u / 3)

so that d log sigma / du is 1 at u = 0, where a fresh network begins, and no state's deviation
leaves [e^(c - 3), e^(c + 3)], a factor of 20: without a bound a single step could make a state's
density overflow, and a clip would have no gradient beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trpo_cli.maths.arrays import Array, copy, namespace
from trpo_cli.maths.distributions import HALF_LOG_2PI, Distribution, Parameters, Pullback

SPREAD = 3.0
"""How far a log deviation can be from the first one, nats."""


def log_std_of(u: Array, first: float) -> tuple[Array, Array]:
    """log sigma, and its derivative with respect to u, (B, A) each; first: c."""
    bend = namespace(u).tanh(u / SPREAD)
    return first + SPREAD * bend, 1.0 - bend * bend


@dataclass(frozen=True)
class StateGaussian:
    """N(mean, diag(exp(log_std))^2), (B, A) each; slope: d log sigma / du, (B, A).

    Gradients and tangents are those of the network's outputs (B, 2 A), and of nothing beside them.
    """

    mean: Array
    log_std: Array
    slope: Array

    @classmethod
    def of(cls, outputs: Array, first: float) -> StateGaussian:
        """outputs: (B, 2 A), the means and then the u; first: c."""
        size = outputs.shape[1] // 2
        return cls(outputs[:, :size], *log_std_of(outputs[:, size:], first))

    def _sum(self, x: Array) -> Array:
        # A product with ones: several times cheaper than a sum over a short axis.
        return x @ namespace(x).ones_like(x[:1].sum(0))

    def _parameters(self, mean: Array, log_std: Array) -> Parameters:
        """From a gradient with respect to the mean and log sigma, (B, A) each."""
        outputs = namespace(mean).concatenate([mean, log_std * self.slope], 1)
        return Parameters(outputs, outputs.reshape(-1)[:0])

    def log_prob(self, actions: Array) -> Array:
        return self.log_prob_vjp(actions)[0]

    def log_prob_vjp(self, actions: Array) -> tuple[Array, Pullback]:
        """d log p / d mean = z / sigma, d log p / d log sigma = z^2 - 1, z = (a - mean) / sigma."""
        inverse_std = namespace(self.mean).exp(-self.log_std)
        z = (actions - self.mean) * inverse_std
        squares = z * z
        constant = HALF_LOG_2PI * self.mean.shape[1]
        log_prob = self._sum(-0.5 * squares - self.log_std) - constant

        def vjp(weights: Array) -> Parameters:
            weight = weights[:, None]
            return self._parameters(z * inverse_std * weight, (squares - 1.0) * weight)

        return log_prob, vjp

    def log_prob_jvp(self, actions: Array, tangent: Parameters) -> Array:
        """sum_j z / sigma dmean + (z^2 - 1) dlog sigma."""
        size = self.mean.shape[1]
        inverse_std = namespace(self.mean).exp(-self.log_std)
        z = (actions - self.mean) * inverse_std
        along_mean = z * inverse_std * tangent.outputs[:, :size]
        return self._sum(along_mean + (z * z - 1.0) * self.slope * tangent.outputs[:, size:])

    def entropy(self) -> Array:
        """Sum of log sigma + (1 + log 2 pi) / 2."""
        return self._sum(self.log_std) + (0.5 + HALF_LOG_2PI) * self.mean.shape[1]

    def entropy_gradient(self) -> Parameters:
        xp, size = namespace(self.mean), max(1, len(self.mean))
        return self._parameters(xp.zeros_like(self.mean), xp.full_like(self.mean, 1.0 / size))

    def kl_from(self, old: Distribution) -> Array:
        """sum log(s_new / s_old) + (s_old^2 + (m_old - m_new)^2) / (2 s_new^2) - 1/2."""
        assert isinstance(old, StateGaussian)
        xp = namespace(self.mean)
        log_ratio = self.log_std - old.log_std
        # exp(-2 log_ratio) - 1 + 2 log_ratio, without the cancellation near equal deviations.
        spread = xp.expm1(-2.0 * log_ratio) + 2.0 * log_ratio
        shift = (old.mean - self.mean) * xp.exp(-self.log_std)
        return 0.5 * self._sum(shift * shift + spread)

    def kl_gradient(self, old: Distribution) -> Parameters:
        """(m_new - m_old) / s_new^2 and 1 - (s_old^2 + (m_old - m_new)^2) / s_new^2."""
        assert isinstance(old, StateGaussian)
        xp, size = namespace(self.mean), max(1, len(self.mean))
        precision = xp.exp(-2.0 * self.log_std) / size
        shift = self.mean - old.mean
        spread = xp.expm1(2.0 * (old.log_std - self.log_std)) / -size
        return self._parameters(shift * precision, spread - shift * shift * precision)

    def metric(self) -> Array:
        """The Fisher metric's diagonal, (B, 2 A): 1 / sigma^2 on each mean, 2 on each log sigma."""
        xp = namespace(self.mean)
        return xp.concatenate([xp.exp(-2.0 * self.log_std), 2.0 * self.slope * self.slope], 1)

    def fisher(self, tangent: Parameters) -> Parameters:
        size = max(1, len(self.mean))  # of a spread batch, a process may have no state at all
        return Parameters(tangent.outputs * (self.metric() / size), tangent.extra)

    def std(self) -> Array:
        """Standard deviations, (B, A)."""
        return namespace(self.mean).exp(self.log_std)

    def rows(self, index: Any) -> StateGaussian:
        return StateGaussian(self.mean[index], self.log_std[index], self.slope[index])

    def detach(self) -> StateGaussian:
        return StateGaussian(copy(self.mean), copy(self.log_std), copy(self.slope))
