"""Policy improvement with exact steps on tabular MDPs: each rule's subproblem is solved exactly.

The inner problem of all KL rules is, in one state with probabilities p and advantages c,

    maximise  sum_a p'_a c_a - lambda sum_a p_a log(p_a / p'_a)   over the simplex

whose solution is p'_a = lambda p_a / (nu - c_a) with nu above every c_a: stationarity of the
Lagrangian, c_a + lambda p_a / p'_a = nu. That leaves one number per state, nu or lambda.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from trpo_cli.lab.divergences import kl
from trpo_cli.lab.tabular import (
    MDP,
    advantages,
    greedy,
    mixture_penalty,
    penalty,
    visitation,
)

RANGE = 40.0
"""Width of the ranges of logarithms that are searched."""
NEWTON_STEPS = 15
LONGEST = 3.0
"""Longest Newton step in log t."""
LONGEST_LOG = 500.0
"""How far log t goes below the logarithm of the advantages' spread: y stays a float."""
TINY = 1e-300


def conservative(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """One step of conservative policy iteration (Kakade and Langford 2002):

        new = (1 - alpha) old + alpha greedy,   alpha = min(1, G / (2 D))

    G: the surrogate's gain for alpha = 1; D alpha^2: the penalty of the mixture. This alpha is the
    maximum of the lower bound alpha G - D alpha^2 on the improvement.
    """
    values = advantages(mdp, policy)
    best = greedy(values)
    gain = float(visitation(mdp, policy) @ (best * values).sum(axis=1))
    weight = mixture_penalty(mdp, policy, best)
    alpha = min(1.0, gain / (2.0 * weight)) if weight > 0.0 else 1.0
    return (1.0 - alpha) * policy + alpha * best


def algorithm_1(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Algorithm 1 of the TRPO paper:

        maximise  L_old(new) - C max_s D_KL(old || new)

    For a given largest divergence d the best policy is that of `within_each_state`, whose gain
    rises with d by sum_s rho(s) lambda_s(d), less and less: d is where that is C.
    """
    values, weights, c = advantages(mdp, policy), visitation(mdp, policy), penalty(mdp, policy)
    span = float(weights @ np.ptp(values, axis=1))
    if not (span > 0.0 and c > 0.0):
        return policy

    def excess(log_d: float) -> float:
        _, multipliers = within_each_state(policy, values, math.exp(log_d))
        return math.log(c) - math.log(weights @ multipliers)

    # The gain is at most span sqrt(d / 2) (Pinsker): at this d it is less than C d.
    high = math.log(0.5 * (span / c) ** 2)
    log_d = root(excess, high - RANGE, high)
    return within_each_state(policy, values, math.exp(log_d))[0]


def max_kl_step(mdp: MDP, policy: np.ndarray, delta: float) -> np.ndarray:
    """maximise L_old(new) subject to max_s D_KL(old || new) <= delta (TRPO, equation 11 with the
    maximum)."""
    return within_each_state(policy, advantages(mdp, policy), delta)[0]


def mean_kl_step(mdp: MDP, policy: np.ndarray, delta: float) -> np.ndarray:
    """Exact TRPO: maximise L_old(new) subject to the mean of D_KL(old || new) over the discounted
    visitation of old being at most delta (TRPO, equation 12).

    Gain and constraint weigh the states alike, so one multiplier lambda serves all states, and the
    mean divergence falls with it: bisection on its logarithm.
    """
    values = advantages(mdp, policy)
    weights = visitation(mdp, policy) * (1.0 - mdp.discount)
    scale = float(_top(policy, values).max())
    if not scale > 0.0:
        return policy

    def excess(log_multiplier: float) -> float:
        new = tilted(policy, values, math.exp(log_multiplier))
        return math.log(delta) - math.log(max(float(weights @ kl(policy, new)), TINY))

    middle = math.log(scale)
    if excess(middle - RANGE) > 0.0:  # so nearly greedy that no step is that long
        return tilted(policy, values, math.exp(middle - RANGE))
    return tilted(policy, values, math.exp(root(excess, middle - RANGE, middle + RANGE)))


def tilted(policy: np.ndarray, values: np.ndarray, multiplier: float) -> np.ndarray:
    """p' (S, A) for one lambda: t = nu - max c from sum_a p_a / (t + max c - c_a) = 1 / lambda.

    Newton's method on the reciprocal of the left side, a weighted harmonic mean of t + max c - c_a:
    it is concave in t, so that from t = lambda p_best, which is too small, the root is approached
    from the left.
    """
    top = _top(policy, values)
    t = multiplier * np.where(top == 0.0, policy, 0.0).sum(axis=1)
    for _ in range(NEWTON_STEPS):
        distance = t[:, None] + top
        total = (policy / distance).sum(axis=1)
        squares = (policy / distance**2).sum(axis=1)
        t = t + (multiplier - 1.0 / total) * total**2 / squares
    new = policy / (t[:, None] + top)
    return new / new.sum(axis=1, keepdims=True)


def within_each_state(
    policy: np.ndarray, values: np.ndarray, delta: float
) -> tuple[np.ndarray, np.ndarray]:
    """maximise sum_a p'_a c_a subject to D_KL(p || p') <= delta in every state alone: p' (S, A),
    and the multipliers lambda (S,), by how much a state's gain rises with delta.

    With t = nu - max c and y_a = (max c - c_a) / t: p' = p / (1 + y) / Z, Z = sum p / (1 + y),
    lambda = t / Z, and D_KL = sum p log(1 + y) + log Z falls with t. Newton's method on log D_KL
    as a function of log t, which is nearly a line (of slope -2 for small divergences) and bends
    down: it comes to the root from the right. States whose actions are alike stay.
    """
    top = _top(policy, values)
    spread = top.max(axis=1)
    moves = spread > 0.0
    top, target = top[moves], math.log(delta)
    p, lowest = policy[moves], np.log(spread[moves]) - LONGEST_LOG
    mean = (p * top).sum(axis=1, keepdims=True)
    variance = np.maximum((p * (top - mean) ** 2).sum(axis=1), TINY)
    log_t = np.maximum(0.5 * (np.log(variance / 2.0) - target), lowest)
    for _ in range(NEWTON_STEPS):
        y = top / np.exp(log_t)[:, None]
        share = p / (1.0 + y)
        missing = share * y
        z = share.sum(axis=1)
        now = np.maximum((p * np.log1p(y)).sum(axis=1) + np.log1p(-missing.sum(axis=1)), TINY)
        slope = (missing / (1.0 + y)).sum(axis=1) / z - missing.sum(axis=1)
        step = (np.log(now) - target) * now / np.minimum(slope, -TINY)
        # A state that is nearly greedy may have no step of that length: it stops at `lowest`.
        log_t = np.maximum(log_t - np.clip(step, -LONGEST, LONGEST), lowest)
    new, multipliers = policy.copy(), np.zeros(len(policy))
    share = p / (1.0 + top / np.exp(log_t)[:, None])
    new[moves] = share / share.sum(axis=1, keepdims=True)
    multipliers[moves] = np.exp(log_t) / share.sum(axis=1)
    return new, multipliers


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function is zero, by Brent's method; `low` or `high` where it has one
    sign between them."""
    from scipy.optimize import brentq  # later than help and errors

    if function(low) >= 0.0 or function(high) <= 0.0:
        return low if function(low) >= 0.0 else high
    return float(brentq(function, low, high, xtol=1e-13))


def _top(policy: np.ndarray, values: np.ndarray) -> np.ndarray:
    """max c - c_a (S, A), over the actions that the policy takes: KL(p || p') is finite for an
    action that it does not, but the ratio form above keeps it out."""
    taken = policy > 0.0
    best = np.where(taken, values, -np.inf).max(axis=1, keepdims=True)
    return np.where(taken, best - values, 0.0)
