"""How many runs would tell two means apart: a power estimate that says how little it knows."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trpo_cli.compare.statistics import POWER, least_permutation_p, t_quantile

MOST = 200
"""Beyond so many runs a group, "more than" is all that is said."""
COVERAGE = 0.8
"""Of the interval of the effect."""


@dataclass(frozen=True)
class Needed:
    """Runs of each group, more than there are, for a test to find the difference with probability
    `POWER`; None for more than `MOST`. expected: if the effect is as measured; fewest, most: at the
    ends of its interval."""

    expected: int | None
    fewest: int | None
    most: int | None


def seeds_needed(x: ArrayLike, y: ArrayLike, alpha: float) -> Needed | None:
    """From the runs of two groups; None with fewer than two on a side or without spread.

    The effect is d = |mx - my| / s, s pooled. Its interval has the two shifts of the non-central
    t whose distributions put the observed t at (1 +- COVERAGE) / 2 (Cumming and Finch 2001), over
    sqrt(n m / (n + m)).
    """
    from scipy.special import nctdtrinc

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n, m = x.size, y.size
    if min(n, m) < 2:
        return None
    df = n + m - 2
    variance = ((n - 1) * x.var(ddof=1) + (m - 1) * y.var(ddof=1)) / df
    if not variance > 0.0:
        return None
    scale = math.sqrt(n * m / (n + m))
    d = abs(float(x.mean() - y.mean())) / math.sqrt(variance)
    low, high = (
        float(nctdtrinc(df, (1.0 + sign * COVERAGE) / 2.0, d * scale)) / scale for sign in (1, -1)
    )
    found = (runs_for(effect, alpha) for effect in (d, high, max(0.0, low)))
    return Needed(*(count and max(count, n + 1, m + 1) for count in found))


def power(effect: float, n: int, alpha: float) -> float:
    """Of a two-sided t test of n runs each, equal variances: P(T > t_{1 - alpha/2}) for T
    non-central with 2 n - 2 degrees of freedom and shift d sqrt(n / 2). The other tail, that of the
    wrong order, is left out."""
    from scipy.special import nctdtr

    df = 2 * n - 2
    found = nctdtr(df, effect * math.sqrt(n / 2.0), t_quantile(1.0 - alpha / 2.0, df))
    return 1.0 - float(found) if math.isfinite(found) else 1.0


@functools.cache
def runs_for(effect: float, alpha: float) -> int | None:
    """The fewest runs of each group with which t test and permutation test can find an effect with
    probability `POWER`; None for more than `MOST`."""
    for n in range(2, MOST + 1):
        if least_permutation_p(n, n) <= alpha and power(effect, n, alpha) >= POWER:
            return n
    return None


def in_words(needed: Needed | None) -> str:
    """The end of a sentence, empty where nothing can be said."""
    if needed is None:
        return ""
    if needed.expected is None:
        lucky = f", {needed.fewest} if it is as large as it may well be" if needed.fewest else ""
        return f"a difference as small as measured takes more than {MOST} runs each to find{lucky}"
    last = f"more than {MOST}" if needed.most is None else str(needed.most)
    return (
        f"about {needed.expected} runs each would probably tell ({POWER:.0%} if the difference is "
        f"as measured; {needed.fewest} to {last} by what these runs know of it)"
    )
