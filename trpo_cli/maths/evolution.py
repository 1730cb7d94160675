"""Zeroth-order gradients: what perturbed parameters are worth, and nothing of how that comes about.

numpy only: no network is differentiated here.
"""

from __future__ import annotations

import numpy as np


def antithetic_gradient(noise: np.ndarray, scores: np.ndarray, sigma: float) -> np.ndarray:
    """grad E[F(theta + sigma e)] ~= sum_m (F(theta + sigma e_m) - F(theta - sigma e_m)) e_m / (2 M
    sigma), (P,), for e ~ N(0, I) (Salimans et al. 2017, section 2, with antithetic pairs).

    Subtracting F(theta) from every score changes nothing, as each pair takes it away by itself.
    noise: (M, P), the e. scores: (2, M), F at theta + sigma e and at theta - sigma e.
    """
    return (scores[0] - scores[1]) @ noise / (2.0 * len(noise) * sigma)


def centred_ranks(scores: np.ndarray) -> np.ndarray:
    """Scores of any shape by their ranks, evenly from -1/2 to 1/2, equal ones by their mean rank
    (Salimans et al. 2017, section 2.1): one outlier cannot rule the step."""
    flat = scores.reshape(-1)
    if len(flat) < 2:
        return np.zeros_like(scores)
    _, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1.0
    ranks = last - (counts - 1.0) / 2.0
    return (ranks[inverse] / (len(flat) - 1.0) - 0.5).reshape(scores.shape)
