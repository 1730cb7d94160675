"""Returns and advantages over (T, N) arrays of T steps in N environments.

Termination is data: a step carries the discount of what follows it and whether the sum goes on
in the next row. Three cases, and nothing else:

================  =================  ==========  ================================
the episode       next_values        discounts   continues
================  =================  ==========  ================================
goes on           V(s_{t+1})         gamma       1
terminated        anything finite    0           0
was cut (limit)   V(final state)     gamma       0
================  =================  ==========  ================================

The end of the rollout is a cut as well: its last row has V of the state after it, and nothing
follows in the recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trpo_cli.maths.arrays import Array, copy


def td_residuals(rewards: Array, values: Array, next_values: Array, discounts: Array) -> Array:
    """delta_t = r_t + gamma_t V(s_{t+1}) - V(s_t), (T, N) (GAE paper, equation 10)."""
    return rewards + discounts * next_values - values


def generalized_advantages(
    rewards: Array,
    values: Array,
    next_values: Array,
    discounts: Array,
    continues: Array,
    gae_lambda: float,
) -> Array:
    """A_t = delta_t + gamma_t lambda c_t A_{t+1}, (T, N) (Schulman et al. 2016, equation 16).

    lambda = 0 gives the TD residual, lambda = 1 the discounted reward to go minus V(s_t).
    All arguments are (T, N); see the table above for what they hold where episodes end.
    """
    residuals = td_residuals(rewards, values, next_values, discounts)
    return decayed_sums(residuals, discounts * continues * gae_lambda)


def decayed_sums(x: Array, decay: Array) -> Array:
    """y_t = x_t + decay_t y_{t+1}, y_T = x_T, (T, N).

    By doubling, several times as fast as row by row with few columns: after each pass y_t has twice
    as many terms, and decay_t, (T - ahead + 1, N), is the product over as many steps.
    """
    y, ahead = copy(x), 1
    while ahead < len(y):
        y[:-ahead] += decay[:-1] * y[ahead:]
        decay = decay[:-ahead] * decay[ahead:]
        ahead *= 2
    return y


def own(x: Any) -> Any:
    """What is over all samples, where these are all."""
    return x


def standardize(
    x: Array, average: Callable[[Any], Any] = own, largest: Callable[[Any], Any] = own
) -> Array:
    """(x - mean) / standard deviation; only centred where the deviation is (nearly) zero.

    average, largest: the mean and the maximum over all samples, from those over the ones in x,
        where x is one of several parts.
    """
    centred = x - average(x.mean())
    scale = deviation(centred, float(largest(abs(x).max())), average)
    return centred / scale if scale else centred


def deviation(centred: Array, largest: float, average: Callable[[Any], Any] = own) -> float:
    """Root mean square of what was centred; 0 where it is below rounding error of the values
    before, of which `largest` is the largest magnitude: there it is noise, not a scale."""
    found = float(average((centred * centred).mean())) ** 0.5
    return found if found > 4.0 * float(np.finfo(np.float32).eps) * largest else 0.0


def explained_variance(
    predictions: Array, targets: Array, average: Callable[[Any], Any] = own
) -> float:
    """1 - Var(targets - predictions) / Var(targets); NaN when the targets are constant.

    average: as in `standardize`.
    """
    variance = _variance(targets, average)
    if variance == 0.0:
        return float("nan")
    return 1.0 - _variance(targets - predictions, average) / variance


def _variance(x: Array, average: Callable[[Any], Any]) -> float:
    centred = x - average(x.mean())
    return float(average((centred * centred).mean()))
