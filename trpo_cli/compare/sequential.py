"""Tests of two means that may be looked at again and again: pure functions.

A race looks at its runs K times at most, at numbers of seeds that are fixed beforehand. At a look,
a pair of groups with n runs each has the larger p-value of two tests: Welch's, which does without
equal variances, and the permutation test, which does without normal runs and is exact where the
groups do not differ. K times the smallest p-value of the looks so far is valid whenever one stops:

    P(some look k has K p_k <= alpha) <= sum_k P(p_k <= alpha / K) <= alpha.

That is a group-sequential test with equal nominal levels, as Pocock's (1977, Biometrika 64:191),
without his assumption of normal runs, by which his levels are a little larger; AdaStop (Mathieu et
al. 2023, arXiv 2306.10882) compares agents by permutations in the same way. P-values that
hold at every time can be corrected over pairs by Holm's rule at every time (Bartroff and Song 2014,
J. Stat. Plan. Inference 153:100). scripts/race_simulation.py measures what all this gives.

That a difference is smaller than d is shown by two one-sided tests (Schuirmann 1987): both
"x exceeds y by d or more" and "y exceeds x by d or more" have to be refuted.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trpo_cli.compare.statistics import (
    MAX_PERMUTATIONS,
    Difference,
    Floats,
    holm,
    least_permutation_p,
    welch,
)

GROWTH = 1.5
"""Each look has so many times the seeds of the one before it."""


@dataclass(frozen=True)
class Design:
    """What is fixed before the first run. looks: seeds of each group at each look, increasing.
    pairs: how many are compared, over all environments. error_rate: of all of them together."""

    looks: tuple[int, ...]
    pairs: int
    error_rate: float

    @property
    def alpha(self) -> float:
        """Intervals at this level hold together, at all looks and for all pairs (Bonferroni)."""
        return self.error_rate / (len(self.looks) * self.pairs)


def design(most: int, pairs: int, error_rate: float) -> Design | None:
    """Looks from the fewest seeds at which every pair could be decided up to `most`; None when the
    permutation test of `most` seeds cannot decide."""
    for first in range(2, most + 1):
        made = Design(looks(first, most), pairs, error_rate)
        if least_permutation_p(first, first) <= made.alpha:
            return made
    return None


def looks(first: int, most: int) -> tuple[int, ...]:
    """first, then `GROWTH` times as many each time; the last step to `most` may be a little longer
    or shorter: 5, 8, 12, 20."""
    found = [first]
    while found[-1] < most:
        following = math.ceil(GROWTH * found[-1])
        found.append(most if following * (1 + GROWTH) / 2 > most else following)
    return tuple(found)


def decided(
    p_order: Sequence[float], p_smaller: Sequence[float], error_rate: float
) -> list[tuple[bool, bool]]:
    """Of each pair whether its order is decided, and whether its difference is smaller than what
    matters. Holm's correction over the pairs, one for each kind of decision: the probability of
    any wrong order is at most the error rate, and so is that of any wrong "smaller".

    p_order, p_smaller: valid at every look; NaN where nothing is asked. Decisions stay: such
    p-values only fall.
    """
    orders, smaller = holm(p_order), holm(p_smaller)
    return [(p <= error_rate, q <= error_rate) for p, q in zip(orders, smaller, strict=True)]


@dataclass(frozen=True)
class Path:
    """What the looks at a pair say so far. n: runs of each at the last look, 0 before the first.
    p_order: against equal means, valid over all looks and not yet corrected for other pairs;
    x_leads: the order that it speaks for. p_smaller: against a difference of `difference` or more
    (NaN where none is asked for). estimate: mean of x minus mean of y at the last look, with
    `Design.alpha`'s interval."""

    n: int
    p_order: float
    x_leads: bool
    p_smaller: float
    difference: float
    estimate: Difference


@functools.cache
def path(
    x: tuple[float, ...], y: tuple[float, ...], plan: Design, difference: float, share: bool
) -> Path:
    """x, y: final performance of the seeds of two groups, in the order of the seeds; what lies
    behind the last complete look is not looked at.

    difference: the smallest one that matters, NaN for none; share: as a part of the larger mean
    (in magnitude) of the first look.
    """
    done = [n for n in plan.looks if n <= min(len(x), len(y))]
    nothing = Difference(math.nan, math.nan, math.nan, math.nan)
    if not done:
        missing = math.nan if math.isnan(difference) else 1.0
        return Path(0, 1.0, True, missing, math.nan if share else difference, nothing)
    a, b = np.array(x), np.array(y)
    if share:
        first = done[0]
        difference *= max(abs(float(a[:first].mean())), abs(float(b[:first].mean())))
    order = [float(order_p(a[:n], b[:n])) for n in done]
    best = done[int(np.argmin(order))]
    smaller = math.nan
    if not math.isnan(difference):
        found = min(float(smaller_p(a[:n], b[:n], difference)) for n in done)
        smaller = min(1.0, len(plan.looks) * found)
    return Path(
        done[-1],
        min(1.0, len(plan.looks) * min(order)),
        bool(a[:best].mean() > b[:best].mean()),
        smaller,
        difference,
        welch(a[: done[-1]], b[: done[-1]], plan.alpha),
    )


def order_p(x: ArrayLike, y: ArrayLike) -> Floats:
    """Two-sided p-value of one look against equal means. x, y: (..., n) -> (...)."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    gap = relabelled(x, y)
    extreme = np.abs(gap) >= np.abs(gap[..., :1]) - _slack(x, y)
    return np.maximum(2.0 * _welch_below(-np.abs(_t(x, y)), x, y), extreme.mean(axis=-1))


def smaller_p(x: ArrayLike, y: ArrayLike, difference: ArrayLike) -> Floats:
    """P-value of one look against |mean of x - mean of y| >= difference: the larger of two
    one-sided ones. x, y: (..., n), difference: () or (..., 1) -> (...)."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    difference = np.asarray(difference, dtype=np.float64)
    return np.maximum(_below_p(x - difference, y), _below_p(y - difference, x))


def _below_p(x: Floats, y: Floats) -> Floats:
    """One-sided: small where the mean of x is clearly below that of y."""
    gap = relabelled(x, y)
    extreme = gap <= gap[..., :1] + _slack(x, y)
    return np.maximum(_welch_below(_t(x, y), x, y), extreme.mean(axis=-1))


def _slack(x: Floats, y: Floats) -> Floats:
    """Sums in another order differ in the last bits."""
    largest = np.maximum(np.abs(x).max(axis=-1), np.abs(y).max(axis=-1))
    return np.asarray(1e-9 * x.shape[-1] * np.where(largest > 0.0, largest, 1.0))[..., None]


def _t(x: Floats, y: Floats) -> Floats:
    """Welch's t; infinite where means differ and neither sample varies, so that the permutation
    test decides alone, and 0 where they do not."""
    n = x.shape[-1]
    gap = x.mean(axis=-1) - y.mean(axis=-1)
    spread = np.sqrt((x.var(axis=-1, ddof=1) + y.var(axis=-1, ddof=1)) / n)
    still = spread <= _slack(x, y)[..., 0] / n
    alone = np.where(np.abs(gap) <= _slack(x, y)[..., 0], 0.0, np.copysign(np.inf, gap))
    return np.where(still, alone, gap / np.where(still, 1.0, spread))


def _welch_below(t: Floats, x: Floats, y: Floats) -> Floats:
    """P(T <= t) with the degrees of freedom of Welch and Satterthwaite, for equally many runs:
    (n - 1) (a + b)^2 / (a^2 + b^2), a and b being the variances."""
    from scipy.special import stdtr

    a, b = x.var(axis=-1, ddof=1), y.var(axis=-1, ddof=1)
    still = a + b == 0.0
    squares = np.where(still, 1.0, a**2 + b**2)
    df = (x.shape[-1] - 1) * np.where(still, 1.0, (a + b) ** 2) / squares
    below = stdtr(df, np.where(np.isinf(t), 0.0, t))
    return np.where(np.isinf(t), np.where(t > 0.0, 1.0, 0.0), below)


def relabelled(x: Floats, y: Floats) -> Floats:
    """(..., n), (..., n) -> (..., B): sum of x minus sum of y when the labels of the 2 n runs are
    exchanged, as they are in the first place.

    For equally many runs Welch's |t| is a function of this difference alone, whatever the labels,
    so that the test is the studentised one, which allows for unequal variances where there are
    many runs (Janssen 1997, Stat. Probab. Lett. 36:9).
    """
    return np.concatenate([x, y], axis=-1) @ _labellings(x.shape[-1])


@functools.lru_cache(maxsize=16)
def _labellings(n: int) -> Floats:
    """(2 n, B) of +1 and -1, n each a column: all labellings, or random ones behind the observed
    one where there are more than `MAX_PERMUTATIONS`."""
    if math.comb(2 * n, n) <= MAX_PERMUTATIONS:
        chosen = np.array(list(itertools.combinations(range(2 * n), n)))
    else:
        order = np.random.default_rng(n).random((MAX_PERMUTATIONS, 2 * n))
        chosen = np.vstack([np.arange(n), np.argpartition(order, n, axis=1)[:, :n]])
    signs = np.full((len(chosen), 2 * n), -1.0)
    np.put_along_axis(signs, chosen, 1.0, axis=1)
    return np.ascontiguousarray(signs.T)
