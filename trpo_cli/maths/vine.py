"""Objectives over several actions tried in one state (TRPO paper, section 5.2), and their slopes.

S states, K actions each: log_prob (S, K) = log pi_theta(a_k|s), values (S, K) = Q(s, a_k). A slope
is the derivative of a state's objective with respect to the log-probabilities; pulled back through
`log_prob_vjp` and the policy's Jacobian it is the gradient. Neither needs a baseline: a constant
added to all values of a state leaves the gradient alone.

The trunk's own samples are another estimate of the same gradient; `trunk_weight` joins the two.
"""

from __future__ import annotations

from trpo_cli.maths.arrays import Array, namespace


def finite_action(log_prob: Array, values: Array) -> tuple[Array, Array]:
    """L = sum_k pi_theta(a_k|s) Q_k, (S,), where the K actions are all there are (equation 15).

    Returns L and dL / dlog pi_k = pi_k Q_k, (S, K).
    """
    slope = namespace(log_prob).exp(log_prob) * values
    return slope.sum(1), slope


def self_normalized(log_prob: Array, log_proposal: Array, values: Array) -> tuple[Array, Array]:
    """L = sum_k w_k Q_k / sum_k w_k, w_k = pi_theta(a_k|s) / q(a_k|s), (S,) (equation 16).

    log_proposal: (S, K), log q up to a constant per state. Returns L and
    dL / dlog pi_k = w_k / (sum w) (Q_k - L), (S, K).
    """
    weights = normalized_weights(log_prob, log_proposal)
    mean = (weights * values).sum(1)
    return mean, weights * (values - mean[:, None])


def normalized_weights(log_prob: Array, log_proposal: Array) -> Array:
    """w_k / sum w, (S, K): the softmax of log pi - log q."""
    xp = namespace(log_prob)
    shifted = log_prob - log_proposal
    weights = xp.exp(shifted - xp.amax(shifted, 1)[:, None])
    return weights / weights.sum(1)[:, None]


def trunk_weight(
    trunk: tuple[int, float], branches: tuple[int, float], standardized: bool
) -> float:
    """w of J = w mean(r A) + (1 - w) mean L_n, which weights two estimates of one gradient by their
    inverse variances: w = c_t / (c_t + c_v).

    trunk: N samples and the deviation of A; branches: S (K - 1), what S states with K actions count
    for, and the deviation of Q within states (of K, not K - 1). standardized: whether A and Q are
    divided by them in J. An estimate of n samples of deviation sigma has a variance in proportion
    to sigma^2 / n, and a term that was divided by sigma already needs n / sigma:

        c = n / sigma (standardized), n / sigma^2 (not)

    Differences between K actions count for K - 1 samples, and what they show of the gradient is a
    part (K - 1) / K of it; the deviation of K makes up for that, whatever the number of actions.
    A term without any deviation has nothing to learn from, and no weight.
    """
    power = 1 if standardized else 2
    c_t, c_v = (n / deviation**power if deviation else 0.0 for n, deviation in (trunk, branches))
    return c_t / (c_t + c_v) if c_t or c_v else 0.5


def effective_sample_size(weights: Array) -> Array:
    """1 / sum_k w_k^2 of normalised weights, (S,): K when they are equal, 1 when one has all
    (Kong 1992)."""
    return 1.0 / (weights * weights).sum(1)
