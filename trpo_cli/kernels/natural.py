"""Conjugate gradients on a policy's Fisher matrix, in compiled code: all of them in one call."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.gradients import pull, push, transpose
from trpo_cli.kernels.jit import fused
from trpo_cli.kernels.mlp import Net, forward
from trpo_cli.kernels.policy import CATEGORICAL, GAUSSIAN, STATE_GAUSSIAN, Head
from trpo_cli.kernels.vector import LANES, dot, fma, load, padded, splat, store

f32 = np.float32
BLOCK = 64
"""States at once: what belongs to them stays in a processor's cache."""


class States(NamedTuple):
    """B states. inputs: rows of the network's inputs, one after the other. metric: of a Gaussian
    (D,), 1 / sigma^2; of one whose deviation depends on the state, the metric's diagonal, and
    otherwise the probabilities of the outputs, D of each state. work: `work_size` for B rows;
    tangents: for BLOCK rows; spare: see `kernels.gradients`."""

    size: int
    inputs: Any
    metric: Any
    work: Any
    tangents: Any
    spare: Any


@fused
def apply_metric(head: Head, metric: Any, first: int, rows: int, size: int, share: Any, t: Any,
                 at: int, width: int) -> None:  # fmt: skip
    """t <- share M t in place, for the states from `first` on; t: `rows` rows from `at` on."""
    for r in range(rows):
        to, here = at + r * width, (first + r) * size
        if head.kind == GAUSSIAN:
            for j in range(size):
                t[to + j] *= metric[j] * share
        elif head.kind == STATE_GAUSSIAN:
            for j in range(size):
                t[to + j] *= metric[here + j] * share
        elif head.kind == CATEGORICAL:
            part = 0
            for i in range(len(head.parts)):
                mean = f32(0.0)
                for j in range(part, part + head.parts[i]):
                    mean += metric[here + j] * t[to + j]
                for j in range(part, part + head.parts[i]):
                    t[to + j] = share * metric[here + j] * (t[to + j] - mean)
                part += head.parts[i]
        else:
            for j in range(size):
                t[to + j] *= share * metric[here + j] * (f32(1.0) - metric[here + j])


@fused
def damped_product(
    net: Net, head: Head, packed: Any, states: States, damping: float, v: Any, out: Any
) -> None:
    """out = (F + damping I) v, F the mean of J' M J over the states."""
    size, features = net.sizes[len(net.sizes) - 1], net.sizes[0]
    width = padded(size)
    each = len(states.work) // states.size
    weight = splat(f32(damping))
    for i in range(0, len(v), LANES):
        store(out, i, load(v, i) * weight)
    if head.kind == GAUSSIAN:
        for j in range(head.extra, head.extra + size):
            out[j] += f32(2.0) * v[j]
    share = f32(1.0 / states.size)
    for first in range(0, states.size, BLOCK):
        rows = min(BLOCK, states.size - first)
        inputs = states.inputs[first * features : (first + rows) * features]
        work = states.work[first * each : (first + rows) * each]
        at = push(net, packed, v, inputs, rows, work, states.tangents)
        apply_metric(head, states.metric, first, rows, size, share, states.tangents, at, width)
        pull(net, inputs, rows, work, states.tangents, states.spare, out, True)


@fused
def add(x: Any, scale: float, y: Any) -> None:
    """x += scale y."""
    factor = splat(f32(scale))
    for i in range(0, len(x), LANES):
        store(x, i, fma(factor, load(y, i), load(x, i)))


@fused
def solve(
    net: Net, head: Head, packed: Any, states: States, damping: float,
    x: Any, r: Any, p: Any, product: Any, iterations: int, tolerance: float,
) -> tuple[float, int, bool, float]:  # fmt: skip
    """`maths.conjugate_gradient` on (F + damping I) x = b, and the curvature along x.

    packed: the policy's parameters. x: zeros, the solution afterwards; r, p: b, both; product:
    room; all packed, b neither zero nor anything but finite.
    Returns the residual, the products spent, whether all curvatures were positive, and
    x'(F + damping I)x.
    """
    features = net.sizes[0]
    each = len(states.work) // states.size
    transpose(net, packed, states.spare)
    for first in range(0, states.size, BLOCK):
        rows = min(BLOCK, states.size - first)
        inputs = states.inputs[first * features : (first + rows) * features]
        work = states.work[first * each : (first + rows) * each]
        forward(packed, net, inputs, rows, work)
    start = rr = dot(r, r)
    done, positive = 0, True
    while done < iterations and rr > tolerance * start:
        damped_product(net, head, packed, states, damping, p, product)
        curvature = dot(p, product)
        if not 0.0 < curvature < math.inf:
            positive = False
            break
        alpha = rr / curvature
        add(x, alpha, p)
        add(r, -alpha, product)
        previous, rr = rr, dot(r, r)
        factor = splat(f32(rr / previous))
        for i in range(0, len(p), LANES):
            store(p, i, fma(factor, load(p, i), load(r, i)))
        done += 1
    damped_product(net, head, packed, states, damping, x, product)
    return math.sqrt(rr / start), done, positive, dot(x, product)
