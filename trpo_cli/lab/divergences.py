"""Distances between distributions, natural logarithms throughout.

Categoricals are arrays (..., n) whose last axis sums to one. Gaussians are scalar, pairs of
(mean, std).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

Gaussian = tuple[float, float]

POINTS = 20_001
"""Of the trapezoid rule, which is exact to rounding for smooth functions that vanish at both
ends."""
REACH = 37.0
"""Standard deviations that it covers on each side: a density there is 1e-298, the last that a float
holds in full."""


def kl(p: np.ndarray, q: np.ndarray) -> Any:
    """D_KL(p || q) = sum p log(p / q) of categoricals; infinite where q misses an outcome of p."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0.0, p * (np.log(p) - np.log(q)), 0.0)
    return np.maximum(terms.sum(axis=-1), 0.0)


def total_variation(p: np.ndarray, q: np.ndarray) -> Any:
    """D_TV = 1/2 sum |p - q| of categoricals: the largest difference in an event's probability."""
    return 0.5 * np.abs(p - q).sum(axis=-1)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> Any:
    """1/2 KL(p || m) + 1/2 KL(q || m) with m = (p + q) / 2, of categoricals; at most log 2."""
    middle = (p + q) / 2.0
    return 0.5 * kl(p, middle) + 0.5 * kl(q, middle)


def wasserstein(p: np.ndarray, q: np.ndarray) -> float:
    """W_1 = sum |F_p - F_q| of categoricals on the numbers 0, 1, 2, ...: how far probability has
    to be moved. It alone knows that some outcomes are closer than others."""
    return float(np.abs(np.cumsum(p - q)[:-1]).sum())


def gaussian_kl(p: Gaussian, q: Gaussian) -> float:
    """D_KL(p || q) = log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2."""
    (m, s), (n, t) = p, q
    return math.log(t / s) + (s**2 + (m - n) ** 2) / (2.0 * t**2) - 0.5


def gaussian_total_variation(p: Gaussian, q: Gaussian) -> float:
    """D_TV of scalar Gaussians: the difference of the probabilities between the points where the
    densities cross. For one standard deviation s: erf(|m_p - m_q| / (2 sqrt(2) s))."""
    (m, s), (n, t) = p, q
    if s == t:
        return math.erf(abs(m - n) / (2.0 * math.sqrt(2.0) * s))
    # log p = log q: a x^2 + b x + c = 0.
    a = 0.5 / t**2 - 0.5 / s**2
    b = m / s**2 - n / t**2
    c = 0.5 * (n / t) ** 2 - 0.5 * (m / s) ** 2 + math.log(t / s)
    half = math.sqrt(max(b * b - 4.0 * a * c, 0.0))
    between = sorted(((-b - half) / (2.0 * a), (-b + half) / (2.0 * a)))
    inside = [
        normal.cdf(between[1]) - normal.cdf(between[0])
        for normal in (NormalDist(*p), NormalDist(*q))
    ]
    return abs(inside[0] - inside[1])


def gaussian_jensen_shannon(p: Gaussian, q: Gaussian) -> float:
    """Jensen-Shannon divergence of scalar Gaussians, which has no closed form: by the trapezoid
    rule, to rounding while neither is more than twenty times as wide as the other."""
    from scipy.special import rel_entr  # later than help and errors

    low = min(mean - REACH * std for mean, std in (p, q))
    high = max(mean + REACH * std for mean, std in (p, q))
    x, step = np.linspace(low, high, POINTS, retstep=True)
    f, g = (
        np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2.0 * math.pi))
        for mean, std in (p, q)
    )
    middle = (f + g) / 2.0
    return 0.5 * float((rel_entr(f, middle) + rel_entr(g, middle)).sum() * step)


def gaussian_wasserstein(p: Gaussian, q: Gaussian) -> float:
    """W_2 = sqrt((m_p - m_q)^2 + (s_p - s_q)^2) of scalar Gaussians."""
    return math.hypot(p[0] - q[0], p[1] - q[1])


def pinsker(divergence: float) -> float:
    """sqrt(KL / 2): total variation is at most that."""
    return math.sqrt(divergence / 2.0)


def bretagnolle_huber(divergence: float) -> float:
    """sqrt(1 - exp(-KL)): total variation is at most that as well, which is less than one however
    large KL is, and less than Pinsker's bound from about 1.6 nats on."""
    return math.sqrt(-math.expm1(-divergence))


MEASURES: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "KL": (kl, gaussian_kl),
    "TV": (total_variation, gaussian_total_variation),
    "Jensen-Shannon": (jensen_shannon, gaussian_jensen_shannon),
    "Wasserstein": (wasserstein, gaussian_wasserstein),
}
"""Of categoricals and of scalar Gaussians."""
