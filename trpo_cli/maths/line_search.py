"""Backtracking on the true objective and the true KL divergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from trpo_cli.maths.arrays import Array, copy


@dataclass(frozen=True)
class LineSearchResult:
    """accepted: whether the parameters moved; reason: empty, or why not; backtracks: trials before
    the last; fraction: share of the full step taken (0 when rejected); objective, kl: at the
    parameters that now hold."""

    accepted: bool
    reason: str
    backtracks: int
    fraction: float
    objective: float
    kl: float


def line_search(
    evaluate: Callable[[], tuple[float, float]],
    parameters: Array,
    step: Array,
    *,
    objective: float,
    max_kl: float,
    ratio: float,
    max_backtracks: int,
) -> LineSearchResult:
    """Try theta + ratio^j step, j = 0, 1, ..., max_backtracks (TRPO paper, appendix C).

    The first trial whose objective exceeds `objective` and whose mean KL is at most `max_kl` is
    kept; if none is, `parameters` get their old bits back. Nobody else writes them back.

    evaluate: returns (objective, mean KL) at the parameters as they are.
    """
    old = copy(parameters)
    reason = ""
    for j in range(max_backtracks + 1):
        fraction = ratio**j
        parameters[:] = old + fraction * step
        trial, kl = evaluate()
        if not (math.isfinite(trial) and math.isfinite(kl)):
            reason = "objective is not finite"
        elif kl > max_kl:
            reason = "KL bound"
        elif trial <= objective:
            reason = "no improvement"
        else:
            return LineSearchResult(True, "", j, fraction, trial, kl)
    parameters[:] = old
    return LineSearchResult(False, reason, max_backtracks, 0.0, objective, 0.0)
