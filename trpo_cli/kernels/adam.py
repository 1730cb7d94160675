"""Adam and norm clipping on one flat vector: the arithmetic of `maths.adam`, in one pass."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.kernels.vector import LANES, dot, load, root, splat, store

f32 = np.float32
TAKEN, NOT_FINITE, ZERO = 0, 1, 2
REASONS = ("", "gradient is not finite", "zero gradient")
"""What `clipped_step` returns, in the words of `maths.adam.clip_norm`."""


class Vectors(NamedTuple):
    """One-dimensional float32 of equal length, a multiple of LANES."""

    parameters: Any
    first: Any
    second: Any
    gradient: Any


class Step(NamedTuple):
    """The settings of a step. max_norm: of the gradient; infinite: it is never clipped."""

    learning_rate: float
    beta1: float
    beta2: float
    eps: float
    max_norm: float


@compiled
def clipped_step(vectors: Vectors, step: Step, count: int) -> int:
    """`maths.adam.Adam.clipped_step`: a step in place unless there is a reason against it, whose
    number is returned. count: of the steps before this one."""
    gradient = vectors.gradient
    length = math.sqrt(dot(gradient, gradient))
    if not math.isfinite(length):
        return NOT_FINITE
    if length == 0.0:
        return ZERO
    scale = splat(f32(step.max_norm / length if length > step.max_norm else 1.0))
    correction = math.sqrt(1.0 - step.beta2 ** (count + 1))
    b1, b2 = splat(f32(step.beta1)), splat(f32(step.beta2))
    c1, c2 = splat(f32(1.0 - step.beta1)), splat(f32(1.0 - step.beta2))
    tiny = splat(f32(correction * step.eps))
    rate = splat(f32(step.learning_rate * correction / (1.0 - step.beta1 ** (count + 1))))
    for i in range(0, len(gradient), LANES):
        g = load(gradient, i) * scale
        m = load(vectors.first, i) * b1 + g * c1
        v = load(vectors.second, i) * b2 + g * g * c2
        store(vectors.first, i, m)
        store(vectors.second, i, v)
        change = m / (root(v) + tiny) * rate
        store(vectors.parameters, i, load(vectors.parameters, i) - change)
    return TAKEN
