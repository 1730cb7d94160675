"""Step sizes over the course of training."""

from __future__ import annotations

import math

SCHEDULES = ("constant", "linear", "cooldown")
COOLDOWN = 0.25
"""Share of training, at its end, over which `cooldown` falls to zero."""
DEVIATION_COOLDOWN = 0.1
"""Share of training, at its end, over which a deviation falls. A trust region shrinks with it: over
a longer one the mean would learn less."""


def cooled(before: float, after: float) -> float:
    """The share of a deviation's fall that lies between two shares of training still to come. Those
    of a whole training add up to 1."""
    whole = DEVIATION_COOLDOWN
    return (min(before, whole) - min(max(after, 0.0), whole)) / whole


def fall_within(kl: float, size: int) -> float:
    """How far `size` log deviations may fall, all alike, for a KL(old || new) of at most `kl`.

    A Gaussian whose deviation falls by s nats, its mean unchanged, has
    KL(old || new) = (e^2s - 1) / 2 - s <= s^2 e^2s. With r = sqrt(kl / size), s = r e^-r is within.
    """
    root = math.sqrt(kl / size)
    return root * math.exp(-root)


ADAPTIVE = "adaptive"
FACTOR = 1.5
SMALLEST, LARGEST = 1e-6, 1e-2
"""Where `adapted_step_size` stops: beyond them a step size would take as long to come back."""


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


def adapted_step_size(size: float, kl: float, target: float) -> float:
    """Adam's step size after an update that moved the policy by `kl`.

    size / 1.5 where kl > 2 target, 1.5 size where kl < target / 2 (rl_games, Makoviychuk &
    Makoviichuk 2021; Rudin et al. 2021, 2109.11978, who adapt after each minibatch). A size that
    lies beyond the limits to begin with comes back to them and is moved no further out.
    """
    if kl > 2.0 * target:
        return max(size / FACTOR, min(size, SMALLEST))
    if kl < target / 2.0:
        return min(size * FACTOR, max(size, LARGEST))
    return size
