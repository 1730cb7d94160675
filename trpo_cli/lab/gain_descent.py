"""Descent on the gain of a linear-quadratic problem, by exact gradients.

    policy gradient    K <- K - alpha 2 E_K Sigma_K
    natural gradient   K <- K - alpha 2 E_K
    Gauss-Newton       K <- K - alpha 2 (R + gamma B'P_K B)^-1 E_K,   1/2: policy iteration

Fazel et al. 2018 (arXiv 1801.05039), section 3. And the expected updates of the sampled rules on a
stochastic policy, where K and log sigma move together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trpo_cli.lab.linear_quadratic import (
    action_curvature,
    cost,
    gradient,
    is_stable,
    mean_state_matrix,
    riccati,
    state_matrix,
)
from trpo_cli.simulators.lqr.systems import LinearSystem

METHODS = ("gradient", "natural", "gauss_newton")
MAX_HALVINGS = 60


def direction(system: LinearSystem, gain: np.ndarray, method: str) -> np.ndarray:
    """What a method subtracts from K, divided by alpha."""
    at = gradient(system, gain)
    if method == "gradient":
        return at.gain
    if method == "natural":
        return 2.0 * at.residual
    return 2.0 * np.linalg.solve(at.curvature, at.residual)


class Gap:
    """gain -> (C(K) - C*) / C* of a deterministic policy, precise also far below rounding:

        C(K) - C* = tr(Sigma_K (K - K*)' M* (K - K*))

    (Fazel et al., lemma 10 at the optimum, where E vanishes). Infinite for an unstable gain.
    `best` is K*.
    """

    def __init__(self, system: LinearSystem) -> None:
        value, self.best = riccati(system)
        self._system, self._curvature = system, action_curvature(system, value)
        self._optimum = cost(system, self.best)
        self._still = np.zeros(system.actions)

    def __call__(self, gain: np.ndarray) -> float:
        if not np.isfinite(gain).all() or not is_stable(self._system, gain):
            return math.inf
        error = gain - self.best
        states = state_matrix(self._system, gain, self._still)
        return float(np.sum((error.T @ self._curvature @ error) * states)) / self._optimum


@dataclass(frozen=True)
class Descent:
    """T iterations: relative gaps of the cost and errors |K - K*|_F, both (T + 1,).

    step: alpha at the end. halvings: how often it had to be halved to make the cost fall.
    """

    gaps: np.ndarray
    errors: np.ndarray
    step: float
    halvings: int

    def measured(self, floor: float = 1e-12) -> float | None:
        """The factor between the last two errors above `floor` times the first, where rounding
        does not yet show; None when there is only one."""
        above = np.flatnonzero(self.errors > floor * self.errors[0])
        last = int(above[-1]) if len(above) else 0
        return float(self.errors[last] / self.errors[last - 1]) if last else None


def descend(
    system: LinearSystem, gain: np.ndarray, method: str, step: float, iterations: int
) -> Descent:
    """Iterate from `gain`, which must be stable.

    A step that does not lower the cost is halved, for good: far from the optimum, or close to
    where the system becomes unstable, a step that is best near the optimum can be too long.
    """
    gap = Gap(system)
    gains, gaps, halvings = [gain], [gap(gain)], 0
    for _ in range(iterations):
        moved = direction(system, gain, method)
        new = gain - step * moved
        after = gap(new)
        while after > gaps[-1] > 1e-28 and halvings < MAX_HALVINGS:
            step, halvings = step / 2.0, halvings + 1
            new = gain - step * moved
            after = gap(new)
        gain = new
        gains.append(gain)
        gaps.append(after)
    errors = np.sqrt(((np.array(gains) - gap.best) ** 2).sum(axis=(1, 2)))
    return Descent(np.array(gaps), errors, step, halvings)


@dataclass(frozen=True)
class Rule:
    """A sampled update rule in expectation. name: vpg (`optimizer: sgd`) or npg, whose step is
    fixed (`step_size`) or normalised (`max_kl`), which is TRPO's first trial too. damping: added to
    the diagonal of the Fisher matrix."""

    name: str
    step_size: float
    max_kl: float | None = None
    damping: float = 0.0


def expected_update(
    system: LinearSystem, gain: np.ndarray, log_std: np.ndarray, rule: Rule, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """The next (K, log sigma) when every mean over the batch is its expectation, and advantages are
    exact and not standardised.

    With X the mean second moment of the states of an episode (`mean_state_matrix`):

        g_K = 2 E X,   g_log sigma = 2 sigma_i^2 M_ii     gradients of the mean advantage's cost
        F_K = diag(1 / sigma^2) (x) X + damping I,   F_log sigma = 2 + damping
        alpha = sqrt(2 max_kl / g'F^-1 g)                 of the normalised step

    Without damping F^-1 g = (2 sigma^2 E, sigma_i^2 M_ii), whatever states are visited.
    """
    std = np.exp(log_std)
    at = gradient(system, gain, std)
    spread = std**2 * np.diag(at.curvature)
    states = mean_state_matrix(system, gain, std, horizon)
    slope = 2.0 * at.residual @ states, 2.0 * spread
    if rule.name == "vpg":
        return gain - rule.step_size * slope[0], log_std - rule.step_size * slope[1]
    fisher = states / (std**2)[:, None, None] + rule.damping * np.eye(system.states)
    rows = np.linalg.solve(fisher, slope[0][:, :, None])[:, :, 0]
    natural = rows, slope[1] / (2.0 + rule.damping)
    step = rule.step_size
    if rule.max_kl is not None:
        product = float(np.sum(slope[0] * natural[0]) + slope[1] @ natural[1])
        step = math.sqrt(2.0 * rule.max_kl / product)
    return gain - step * natural[0], log_std - step * natural[1]


def expected_path(
    system: LinearSystem,
    gain: np.ndarray,
    log_std: np.ndarray,
    rule: Rule,
    horizon: int,
    iterations: int,
) -> np.ndarray:
    """Gains (T + 1, m, n) of T expected updates, fewer where the policy becomes unstable."""
    gains = [gain]
    for _ in range(iterations):
        gain, log_std = expected_update(system, gain, log_std, rule, horizon)
        if not np.isfinite(gain).all() or not is_stable(system, gain):
            break
        gains.append(gain)
    return np.array(gains)


def first_at(values: np.ndarray, target: float) -> int | None:
    """The first index whose value is at most `target`; None when there is none."""
    hits = np.flatnonzero(values <= target)
    return int(hits[0]) if len(hits) else None
