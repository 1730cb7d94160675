"""Step sizes over the course of training."""

from __future__ import annotations

SCHEDULES = ("constant", "linear", "cooldown")
COOLDOWN = 0.25
"""Share of training, at its end, over which `cooldown` falls to zero."""


def scheduled(size: float, schedule: str, remaining: float) -> float:
    """A step size when the share `remaining` of training, in [0, 1], is still to come.

    constant: always `size`. linear: falls to zero from the start. cooldown: `size` for three
    quarters, then linearly to zero, which settles the last policy without slowing the learning
    before (Hu et al. 2024, "warmup-stable-decay").
    """
    if schedule == "linear":
        return size * remaining
    if schedule == "cooldown":
        return size * min(1.0, remaining / COOLDOWN)
    return size
