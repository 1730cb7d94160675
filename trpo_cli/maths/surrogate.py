"""Surrogate objectives of the probability ratio r = pi(a|s) / pi_old(a|s), and their slopes.

A slope is the derivative of the sample's term with respect to log pi(a|s); divided by B and pulled
back through `log_prob_vjp` and the policy's Jacobian it is the objective's gradient.
"""

from __future__ import annotations

from trpo_cli.maths.arrays import Array, namespace


def surrogate(log_prob: Array, old_log_prob: Array, advantages: Array) -> Array:
    """mean r A (TRPO paper, equation 14). At r = 1 its gradient is the policy gradient."""
    xp = namespace(log_prob)
    return (xp.exp(log_prob - old_log_prob) * advantages).mean()


def clipped_surrogate(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float
) -> Array:
    """mean min(r A, clip(r, 1 - eps, 1 + eps) A) (PPO paper, equation 7)."""
    xp = namespace(log_prob)
    ratio = xp.exp(log_prob - old_log_prob)
    clipped = xp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return xp.minimum(ratio * advantages, clipped * advantages).mean()


def clipped_slope(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float
) -> Array:
    """r A where the unclipped term is the smaller one, else 0, (B,)."""
    xp = namespace(log_prob)
    ratio = xp.exp(log_prob - old_log_prob)
    term = ratio * advantages
    clipped = xp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range) * advantages
    return term * (term <= clipped)


def clip_only_surrogate(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float
) -> Array:
    """mean clip(r, 1 - eps, 1 + eps) A: `clipped_surrogate` without the minimum."""
    xp = namespace(log_prob)
    ratio = xp.exp(log_prob - old_log_prob)
    return (xp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range) * advantages).mean()


def clip_only_slope(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float
) -> Array:
    """The slope of `clip_only_surrogate`, (B,): r A inside the interval, else 0."""
    ratio = namespace(log_prob).exp(log_prob - old_log_prob)
    return ratio * advantages * (abs(ratio - 1.0) <= clip_range)


def spo_surrogate(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float
) -> Array:
    """mean (r A - |A| (r - 1)^2 / (2 eps)) (simple policy optimisation, Xie et al. 2025,
    2401.16025). Of each sample's term the maximum lies at r = 1 + sign(A) eps."""
    xp = namespace(log_prob)
    ratio = xp.exp(log_prob - old_log_prob)
    away = ratio - 1.0
    return (ratio * advantages - abs(advantages) * away * away / (2.0 * clip_range)).mean()


def spo_slope(log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float) -> Array:
    """The slope of `spo_surrogate`: r (A - |A| (r - 1) / eps), (B,). Beyond the maximum it leads
    back."""
    ratio = namespace(log_prob).exp(log_prob - old_log_prob)
    return ratio * (advantages - abs(advantages) * (ratio - 1.0) / clip_range)


def unclipped_slope(log_prob: Array, old_log_prob: Array, advantages: Array) -> Array:
    """The slope of `surrogate`: r A, (B,)."""
    return namespace(log_prob).exp(log_prob - old_log_prob) * advantages


def sampled_kl(log_prob: Array, old_log_prob: Array) -> Array:
    """r - 1 - log r, (B,): of actions of pi_old an unbiased estimate of KL(pi_old || pi), since
    E[r] = 1, and never negative (Schulman 2020, http://joschu.net/blog/kl-approx.html)."""
    log_ratio = log_prob - old_log_prob
    return namespace(log_prob).expm1(log_ratio) - log_ratio


def clip_fraction(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: float
) -> float:
    """Share of samples with |r - 1| > eps."""
    ratio = namespace(log_prob).exp(log_prob - old_log_prob)
    return float((abs(ratio - 1.0) > clip_range).sum()) / len(ratio)
