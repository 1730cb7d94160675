"""The t and F distributions, for a command that starts fast: without scipy.

scipy is the oracle of the tests.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 <= x <= 1, a, b > 0.

    Its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), evaluated by
    Lentz's method on the side where it converges fast; I_x(a, b) = 1 - I_{1-x}(b, a).
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log1p(-x)
        - math.log(a)
    )
    tiny = 1e-300
    value = c = 1.0
    d = 0.0
    for step in range(1000):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / (1.0 + term * d or tiny)
        c = 1.0 + term / c or tiny
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * (value - 1.0)


def t_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for Student's t: I_{df/(df + t^2)}(df/2, 1/2)."""
    return incomplete_beta(df / 2.0, 0.5, df / (df + t * t))


@functools.lru_cache(4096)
def t_quantile(probability: float, df: float) -> float:
    """The t below which Student's t lies with a probability of 0.5 to 1, by Newton's steps on the
    density, or halving where one leaves the bracket."""
    tail = 2.0 * (1.0 - probability)
    low, high = 0.0, 1.0
    while t_two_sided(high, df) > tail:
        low, high = high, 2.0 * high
    constant = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df) - 0.5 * math.log(math.pi * df)
    t = 0.5 * (low + high)
    for _ in range(100):
        excess = t_two_sided(t, df) - tail
        low, high = (t, high) if excess > 0.0 else (low, t)
        density = math.exp(constant - 0.5 * (df + 1.0) * math.log1p(t * t / df))
        following = t + 0.5 * excess / density
        if not low <= following <= high:
            following = 0.5 * (low + high)
        if abs(following - t) <= 1e-12 * t:
            return following
        t = following
    return t


def f_tail(f: float, between: float, within: float) -> float:
    """P(F >= f) for Fisher's F with (between, within) degrees of freedom."""
    return incomplete_beta(within / 2.0, between / 2.0, within / (within + between * f))


def t_test_power(shift: float, df: float, alpha: float) -> float:
    """Power of a two-sided t test: P(|T'| > t_{1-alpha/2, df}), T' non-central with `shift`.

    T' = (Z + shift) / sqrt(U / df), so that the power is the mean over U ~ chi^2(df) of
    Phi(shift - c) + Phi(-shift - c), c = t sqrt(U / df); the trapezium rule in log U.
    """
    critical = t_quantile(1.0 - alpha / 2.0, df)
    log_u = np.linspace(math.log(df) - 40.0 / math.sqrt(df), math.log(df) + 12.0 / df**0.5, 801)
    u = np.exp(log_u)
    log_density = 0.5 * df * (log_u - math.log(2.0)) - 0.5 * u - math.lgamma(0.5 * df)
    density = np.exp(log_density)  # of log U
    bound = critical * np.sqrt(u / df)
    phi = np.array([NORMAL.cdf(shift - c) + NORMAL.cdf(-shift - c) for c in bound])
    return float(np.sum(phi * density) / np.sum(density))


@functools.lru_cache(4096)
def shift_for_power(df: float, alpha: float, power: float) -> float:
    """The shift at which `t_test_power` is `power`, by halving."""
    low, high = 0.0, 1.0
    while t_test_power(high, df, alpha) < power:
        low, high = high, 2.0 * high
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if t_test_power(middle, df, alpha) > power else (middle, high)
    return high
