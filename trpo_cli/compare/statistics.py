"""What can be said about runs from a few of them: pure functions, one statistic each.

A sample is always runs (seeds), never episodes: the episodes of one run share a policy, and
treating them as independent would make every interval too narrow.

Which interval. Share of 95% intervals that held the true mean, 2,000 samples of n runs each
(tests/compare/test_coverage.py makes this table again):

                         n = 3                 n = 5                 n = 10
                  normal skewed two     normal skewed two     normal skewed two
    Student's t    0.95   0.89  0.86     0.95   0.89  0.88     0.96   0.91  0.94
    percentile     0.76   0.71  0.67     0.84   0.77  0.80     0.91   0.87  0.91
    BCa            0.73   0.69  0.66     0.85   0.80  0.82     0.91   0.88  0.94

skewed: exponential; two: a run fails with probability 0.3 and is normal otherwise. Student's t
holds what it claims for normal runs at every n and loses least elsewhere, so that all intervals of
a mean are Student's. The bootstrap stays where there is no such formula (`aggregate_interval`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05
"""Level of the tests; intervals hold with probability 1 - ALPHA."""
POWER = 0.8
RESAMPLES = 2000
MAX_PERMUTATIONS = 20_000

Floats = NDArray[np.float64]


def t_quantile(probability: float, df: float) -> float:
    """The t below which Student's t lies with this probability.

    scipy is imported where it is needed: help and errors need not wait for it.
    """
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def t_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for Student's t."""
    from scipy.special import stdtr

    return 2.0 * float(stdtr(df, -abs(t)))


@dataclass(frozen=True)
class Interval:
    """An estimate from n runs, its standard deviation over runs, and the bounds of its interval
    (NaN where there are too few runs for one)."""

    n: int
    value: float
    std: float
    low: float
    high: float


def mean_interval(values: ArrayLike) -> Interval:
    """Mean and Student's 95% interval: m +- t_{0.975, n-1} s / sqrt(n).

    values: (n,), one per run. Without bounds for n = 1.
    """
    x = np.asarray(values, dtype=np.float64)
    mean, low, high = (float(v[0]) for v in mean_band(x[:, None]))
    return Interval(int(x.size), mean, float(x.std(ddof=1)) if x.size > 1 else math.nan, low, high)


def mean_band(curves: Floats) -> tuple[Floats, Floats, Floats]:
    """`mean_interval` at each point of curves (runs, points): mean, low, high (points,).

    Pointwise: each point's interval holds its mean with probability 95%; all points at once do so
    with less.
    """
    n = len(curves)
    mean = curves.mean(axis=0)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = t_quantile(1.0 - ALPHA / 2.0, n - 1) * curves.std(axis=0, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


def prediction_interval(known: ArrayLike, new: ArrayLike) -> tuple[float, float]:
    """Where the mean of the new runs lies with probability 95% if they are of the same kind as the
    known ones, and runs of it vary normally:

        m +- t_{0.975, k+n-2} s sqrt(1/n + 1/k), s^2 = (SS_known + SS_new) / (k + n - 2),

    m the mean of the known; SS: sums of squares about each side's own mean. A new mean outside it
    is Student's two-sample test at 5%: of the same kind means the same spread too. Not to be mixed
    up with `mean_interval`, which is about the mean of all runs there could be: a few runs stray
    further from it than it says.

    known: (k,), new: (n,). NaN for one run on each side.
    """
    x, y = np.asarray(known, dtype=np.float64), np.asarray(new, dtype=np.float64)
    k, n = x.size, y.size
    if k + n < 3:
        return math.nan, math.nan
    squares = float(k * x.var() + n * y.var())
    half = t_quantile(1.0 - ALPHA / 2.0, k + n - 2) * math.sqrt(squares / (k + n - 2))
    half *= math.sqrt(1.0 / n + 1.0 / k)
    return float(x.mean()) - half, float(x.mean()) + half


@dataclass(frozen=True)
class Difference:
    """Mean of x minus mean of y, Welch's interval of it, and the p-value of his test of equal
    means. NaN where the runs are too few."""

    value: float
    low: float
    high: float
    p: float


def welch(x: ArrayLike, y: ArrayLike, alpha: float = ALPHA) -> Difference:
    """Welch's t test (Welch 1947): t = (mx - my) / s, s^2 = sx^2/n + sy^2/m, with the degrees of
    freedom s^4 / (sx^4/(n^2 (n-1)) + sy^4/(m^2 (m-1))) of Welch and Satterthwaite.

    x: (n,), y: (m,). alpha: the interval holds with probability 1 - alpha. Two runs each at least,
    else only the difference itself. Where neither sample varies there is no t: equal means have
    p = 1, others NaN (no spread to judge by).
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    value = float(x.mean() - y.mean())
    if min(x.size, y.size) < 2:
        return Difference(value, math.nan, math.nan, math.nan)
    a, b = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
    if a + b <= 1e-24 * max(x.mean() ** 2, y.mean() ** 2) or a + b == 0.0:
        p = 1.0 if value == 0.0 else math.nan
        return Difference(value, math.nan, math.nan, p)
    s = math.sqrt(a + b)
    df = (a + b) ** 2 / (a**2 / (x.size - 1) + b**2 / (y.size - 1))
    half = t_quantile(1.0 - alpha / 2.0, df) * s
    return Difference(value, value - half, value + half, t_two_sided(value / s, df))


def permutation_test(x: ArrayLike, y: ArrayLike) -> float:
    """Two-sided p-value of |mx - my| when the labels of the runs are exchanged (Fisher, Pitman).

    All n! / (k! (n-k)!) labellings, or `MAX_PERMUTATIONS` random ones and the observed one where
    there are more. Its smallest value is 0.1 for 3 + 3 runs and 0.008 for 5 + 5. NaN for a single
    run on a side.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if min(x.size, y.size) < 2:
        return math.nan
    pooled, k = np.concatenate([x, y]), x.size
    observed = abs(x.mean() - y.mean())
    slack = 1e-9 * (np.abs(pooled).max() or 1.0)  # sums in another order differ in the last bits
    if math.comb(pooled.size, k) <= MAX_PERMUTATIONS:
        chosen = np.array(list(itertools.combinations(range(pooled.size), k)))
        extra = 0
    else:
        order = np.random.default_rng(0).random((MAX_PERMUTATIONS, pooled.size))
        chosen, extra = np.argpartition(order, k, axis=1)[:, :k], 1
    sums = pooled[chosen].sum(axis=1)
    differences = np.abs(sums / k - (pooled.sum() - sums) / (pooled.size - k))
    count = int(np.count_nonzero(differences >= observed - slack)) + extra
    return count / (len(chosen) + extra)


def least_permutation_p(n: int, m: int) -> float:
    """The smallest value of `permutation_test` of n and m runs: one labelling of all, and its
    mirror image where both sides have the same number."""
    return (2 if n == m else 1) / math.comb(n + m, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): p_(i) becomes max_{j<=i} min(1, (m-j+1) p_(j)).

    Rejecting what is at most alpha keeps the probability of any false rejection at alpha, however
    the tests depend on each other. NaN (no test) stays NaN and is not counted.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[i] = largest
    return adjusted


def probability_of_improvement(samples: Sequence[tuple[ArrayLike, ArrayLike]]) -> float:
    """P(X > Y) + P(X = Y) / 2, averaged over environments (Agarwal et al. 2021, section 4.3).

    samples: per environment the runs of x (n,) and y (m,). One environment: the Mann-Whitney U of
    x divided by n m.
    """
    return float(np.mean([_superiority(x, y) for x, y in samples]))


def _superiority(x: ArrayLike, y: ArrayLike) -> float:
    gap = np.asarray(x, dtype=np.float64)[:, None] - np.asarray(y, dtype=np.float64)[None, :]
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))


def improvement_interval(samples: Sequence[tuple[ArrayLike, ArrayLike]]) -> Interval:
    """The probability of improvement and its score interval: every theta with
    (estimate - theta)^2 <= z^2 V(theta), V averaged over E environments as for independent ones,

        V_e(theta) = theta (1-theta) / (n m) (1 + N (1-theta)/(2-theta) + N theta/(1+theta)),

    N = (n + m)/2 - 1 (Newcombe 2006, Statistics in Medicine 25:559, method 5). A bootstrap of runs
    has zero width where all of x exceed all of y, the commonest case with a few seeds.
    std: NaN. n: the fewest runs on either side.
    """
    estimate = probability_of_improvement(samples)
    sizes = [(np.size(x), np.size(y)) for x, y in samples]
    z = NormalDist().inv_cdf(1.0 - ALPHA / 2.0)

    def outside(theta: float) -> bool:
        shape = theta * (1.0 - theta)
        odds = (1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta)
        variance = sum(shape / (n * m) * (1.0 + ((n + m) / 2.0 - 1.0) * odds) for n, m in sizes)
        return (estimate - theta) ** 2 > z**2 * variance / len(sizes) ** 2

    def bound(end: float) -> float:
        if not outside(end):  # an estimate of 0 or 1 is its own bound on that side
            return end
        far, near = end, estimate
        for _ in range(60):
            middle = 0.5 * (far + near)
            far, near = (middle, near) if outside(middle) else (far, middle)
        return near

    fewest = min(min(pair) for pair in sizes)
    return Interval(fewest, estimate, math.nan, bound(0.0), bound(1.0))


def _interquartile_mean(scores: Floats, weights: Floats) -> Floats:
    """The mean of the middle half of all scores (Agarwal et al. 2021), each environment weighing
    the same: sum over the sorted scores of the part of their weight between 1/4 and 3/4, over 1/2.

    (B, N) scores, (N,) weights that sum to 1 -> (B,). For equally many runs and a number of scores
    that 4 divides, the 25% trimmed mean; otherwise the scores at the quartiles count in part, where
    rliable would drop or keep them whole.
    """
    order = np.argsort(scores, axis=1)
    ranked, upper = np.take_along_axis(scores, order, axis=1), np.cumsum(weights[order], axis=1)
    lower = upper - weights[order]
    middle = np.clip(np.minimum(upper, 0.75) - np.maximum(lower, 0.25), 0.0, None)
    return np.asarray((ranked * middle).sum(axis=1) / middle.sum(axis=1))


def aggregate_interval(strata: Sequence[ArrayLike]) -> Interval:
    """The interquartile mean across environments with an interval over runs.

    Runs are resampled within each environment (stratified bootstrap, Agarwal et al. 2021). The
    bootstrap's standard deviation b gives m +- t_{0.975, N-E} b sqrt(N / (N-E)), N runs in E
    environments: the root undoes the n - 1 in n by which a resample varies too little. Share of
    95% intervals that hold the truth, 3 environments: with 3, 5, 10 runs 0.96, 0.94, 0.96 for
    normal scores, 0.95, 0.95, 0.95 for exponential ones; the percentiles of the same bootstrap
    reach 0.88, 0.89, 0.94 and 0.86, 0.91, 0.94 (tests/compare/test_coverage.py).

    strata: per environment the normalised scores of its runs. Environments with a single run leave
    no interval. n: the fewest runs.
    """
    samples = [np.asarray(s, dtype=np.float64) for s in strata]
    sizes = [s.size for s in samples]
    weights = np.concatenate([np.full(n, 1.0 / (n * len(sizes))) for n in sizes])
    value = float(_interquartile_mean(np.concatenate(samples)[None, :], weights)[0])
    total, fewest = sum(sizes), min(sizes)
    if fewest < 2:
        return Interval(fewest, value, math.nan, math.nan, math.nan)
    generator = np.random.default_rng(0)
    drawn = [s[generator.integers(s.size, size=(RESAMPLES, s.size))] for s in samples]
    spread = float(_interquartile_mean(np.concatenate(drawn, axis=1), weights).std(ddof=1))
    spread *= math.sqrt(total / (total - len(samples)))
    half = t_quantile(1.0 - ALPHA / 2.0, total - len(samples)) * spread
    return Interval(fewest, value, spread, value - half, value + half)


def detectable_difference(x: ArrayLike, y: ArrayLike, alpha: float = ALPHA) -> float:
    """The smallest difference of means that a t test at `alpha` finds with probability `POWER`,
    with as many runs as these and their pooled standard deviation: delta = d s sqrt(1/n + 1/m).

    d is the shift of the non-central t, with n + m - 2 degrees of freedom, that lies above the
    test's critical value with that probability. The other tail, below 1e-6, is left out.

    NaN with fewer than two runs on a side.
    """
    from scipy.special import nctdtrinc

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n, m = x.size, y.size
    if min(n, m) < 2:
        return math.nan
    df = n + m - 2
    pooled = math.sqrt(((n - 1) * x.var(ddof=1) + (m - 1) * y.var(ddof=1)) / df)
    shift = float(nctdtrinc(df, 1.0 - POWER, t_quantile(1.0 - alpha / 2.0, df)))
    return shift * pooled * math.sqrt(1.0 / n + 1.0 / m)


def censored_median(times: Sequence[float], reached: Sequence[bool]) -> float:
    """The median time to an event that some runs did not live to see: where the Kaplan-Meier
    survival S(t) = prod_{t_i <= t} (1 - d_i / n_i) first falls to 1/2; infinite if it never does.

    times: when the event came, or up to when it had not. Leaving out the runs without the event,
    or taking their end for it, would make a rule that often fails look fast.
    """
    survival = 1.0
    for time in sorted({t for t, event in zip(times, reached, strict=True) if event}):
        at_risk = sum(t >= time for t in times)
        events = sum(t == time and e for t, e in zip(times, reached, strict=True))
        survival *= 1.0 - events / at_risk
        if survival <= 0.5 + 1e-12:
            return float(time)
    return math.inf
