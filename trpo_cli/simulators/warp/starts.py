"""Where episodes begin, for many worlds at once: a function of seed, episode and coordinate alone.

Random numbers come from a counter instead of a state: no world's start depends on the others, on
their number or on the device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from trpo_cli.simulators.mujoco.tasks.control import (
    GOAL_RADIUS,
    OBJECT_DISTANCE,
    OBJECT_HIGH,
    OBJECT_LOW,
)
from trpo_cli.simulators.mujoco.tasks.parts import BESIDE_GOAL, IN_DISC, Start

TRIES = 32
"""How often Pusher's object is drawn at most. A draw fails with probability 0.378 (half a disc in
the rectangle); all of them, and the last one then stands, with probability 3e-14."""


def _signed(word: int) -> int:
    """A 64-bit word as torch holds it."""
    return word - (1 << 64) if word >= 1 << 63 else word


GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shifted(x: Tensor, places: int) -> Tensor:
    """x >> places with zeros from the left; torch would copy the sign."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def mix(x: Tensor) -> Tensor:
    """Scramble 64-bit words: the output function of SplitMix64 (Steele, Lea and Flood, "Fast
    splittable pseudorandom number generators", OOPSLA 2014, figure 16), a bijection."""
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def words(seeds: Tensor, counters: Tensor, numbers: Tensor) -> Tensor:
    """(N, k) int64: one random word for each seed (N,), counter (N,) and number (k,)."""
    keys = mix(mix(seeds + GOLDEN) + counters * GOLDEN + GOLDEN)
    return mix(keys[:, None] + numbers * GOLDEN)


def uniforms(words: Tensor) -> Tensor:
    """Multiples of 2^-24 in [0, 1), float32, from the upper bits."""
    return _shifted(words, 40).to(torch.float32) * 2.0**-24


def normals(words: Tensor, others: Tensor) -> Tensor:
    """Standard normal numbers by Box and Muller (1958); none is beyond sqrt(48 ln 2) = 5.77."""
    radius = torch.sqrt(-2.0 * torch.log(uniforms(words) + 2.0**-24))
    return radius * torch.cos(2.0 * math.pi * uniforms(others))


class Starts(NamedTuple):
    """A `Start` on a device. numbers: (k,) int64, those of the random words of one start."""

    start: Start
    centre: Tensor
    spread: Tensor
    numbers: Tensor


def starts_on(start: Start, device: torch.device) -> Starts:
    size = len(start.centre)
    count = 2 * size + 2 * TRIES
    return Starts(
        start,
        torch.tensor(start.centre, dtype=torch.float32, device=device),
        torch.tensor(start.spread, dtype=torch.float32, device=device),
        torch.arange(count, dtype=torch.int64, device=device),
    )


def draw(starts: Starts, seeds: Tensor, counters: Tensor) -> Tensor:
    """(N, nq + nv) float32: where the episodes `counters` (N,) of the worlds with these seeds (N,)
    begin, both int64."""
    start, size = starts.start, len(starts.centre)
    nq = start.nq
    drawn = words(seeds, counters, starts.numbers[:size])
    noise = 2.0 * uniforms(drawn) - 1.0
    if start.normal_velocities:
        others = words(seeds, counters, starts.numbers[size + nq : 2 * size])
        noise = torch.cat([noise[:, :nq], normals(drawn[:, nq:], others)], dim=1)
    coordinates = starts.centre + starts.spread * noise
    if start.goal == IN_DISC:
        goal = _in_disc(words(seeds, counters, starts.numbers[2 * size : 2 * size + 2]))
        return torch.cat([coordinates[:, : nq - 2], goal, coordinates[:, nq:]], dim=1)
    if start.goal == BESIDE_GOAL:
        item = _beside_goal(words(seeds, counters, starts.numbers[2 * size :]))
        return torch.cat([coordinates[:, : nq - 4], item, coordinates[:, nq - 2 :]], dim=1)
    return coordinates


def _in_disc(words: Tensor) -> Tensor:
    """(N, 2), uniform in the disc: the radius is the root of a uniform number."""
    draws = uniforms(words)
    radius, angle = GOAL_RADIUS * torch.sqrt(draws[:, 0]), 2.0 * math.pi * draws[:, 1]
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)


def _beside_goal(words: Tensor) -> Tensor:
    """(N, 2), uniform in the rectangle without the disc: the first of `TRIES` that lies there."""
    draws = uniforms(words).reshape(len(words), TRIES, 2)
    places = torch.stack(
        [OBJECT_LOW[k] + (OBJECT_HIGH[k] - OBJECT_LOW[k]) * draws[:, :, k] for k in range(2)],
        dim=2,
    )
    good = places.square().sum(2) > OBJECT_DISTANCE**2
    # argmax finds a first maximum on the CPU only; weights that fall do so everywhere.
    weights = good * torch.arange(TRIES, 0, -1, device=words.device)
    last = TRIES - 1
    first = torch.where(good.any(1), weights.argmax(1), last)
    return places.gather(1, first[:, None, None].expand(-1, 1, 2))[:, 0]
