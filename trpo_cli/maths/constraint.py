"""How strongly KL(old || new) counts in an objective, from what the last update made of it."""

from __future__ import annotations

LOWEST, HIGHEST = 2.0**-20, 2.0**20
"""Where halving and doubling stop: beyond them beta would take as long to come back."""


def adapted_coefficient(coefficient: float, kl: float, target: float) -> float:
    """beta after an update that moved the policy by `kl` (PPO paper, section 4): half of it where
    kl < target / 1.5, twice where kl > 1.5 target."""
    if kl < target / 1.5:
        return max(coefficient / 2.0, LOWEST)
    if kl > 1.5 * target:
        return min(coefficient * 2.0, HIGHEST)
    return coefficient


def dual_ascent(multiplier: float, kl: float, max_kl: float, step: float) -> float:
    """max(0, lambda + (step / delta) (kl - delta)): one step up the dual of the constraint
    mean KL <= delta, whose slope in lambda is kl - delta. `step` is what lambda grows by when the
    KL is twice the bound, whatever that is."""
    return max(0.0, multiplier + step * (kl / max_kl - 1.0))
