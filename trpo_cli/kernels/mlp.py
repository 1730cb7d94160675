"""A multi-layer perceptron in compiled code; `kernels.gradients` has its Jacobian.

Parameters lie in a `packed` vector: layer by layer the weight (inputs, padded outputs) row-major,
then the bias (padded outputs,), the padding zero. `pack` and `unpack` translate from and to the
flat vector of `models.mlp`. An optimiser may work on packed vectors as they are: the gradient of
the padding is zero.

Every output is one chain of fused products and sums over the inputs, in their order, begun at the
bias: it depends neither on the number of rows nor on how they are blocked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.jit import fused
from trpo_cli.kernels.vector import (
    LANES,
    clamp,
    fma,
    keep_whole,
    load,
    padded,
    positive,
    splat,
    store,
    total,
)

f32 = np.float32


TANH, RELU, LEAKY_RELU, ELU, SILU = range(5)
"""In the order of `models.mlp.ACTIVATIONS`."""


class Net(NamedTuple):
    """What an MLP is. sizes: int64, of every layer; activation: one of the numbers above; bias: or
    none; layer_norm: whether hidden layers are normalised before their activation."""

    sizes: Any
    activation: int
    bias: bool
    layer_norm: bool


def packed_size(sizes: Any) -> int:
    """Numbers in the packed vector of an MLP of these layer sizes."""
    return sum((int(n) + 1) * padded(int(m)) for n, m in pairwise(sizes))


def work_size(net: Net, rows: int) -> int:
    """Numbers in `work` for so many rows, a multiple of them: the outputs of every layer; where no
    function of them gives it, the slope of its activation; with layer normalisation, what the
    activation was given, and behind all of that 1 / s of every row and layer."""
    outputs = sum(padded(int(m)) for m in net.sizes[1:])
    count = outputs * (1 + (net.activation == SILU) + net.layer_norm)
    return rows * (count + net.layer_norm * len(net.sizes))


@fused
def slopes_behind(sizes: Any, rows: int) -> int:
    """How far behind its output the slope of an activation stands in `work`, if it does."""
    count = 0
    for layer in range(1, len(sizes)):
        count += padded(sizes[layer])
    return rows * count


@fused
def norms_behind(net: Net, rows: int) -> int:
    """The same of what a normalised layer gave its activation."""
    behind = slopes_behind(net.sizes, rows)
    return 2 * behind if net.activation == SILU else behind


@fused
def inverses_at(net: Net, rows: int, layer: int) -> int:
    """Where in `work` 1 / s of a hidden layer's rows stand."""
    return norms_behind(net, rows) + slopes_behind(net.sizes, rows) + layer * rows


def pack(flat: np.ndarray, sizes: Any, bias: bool, packed: np.ndarray) -> None:
    """A flat vector as a packed one; whatever lay in the padding stays."""
    for own, place in _layers(flat, sizes, bias, packed):
        place[:] = own


def unpack(packed: np.ndarray, sizes: Any, bias: bool, flat: np.ndarray) -> None:
    """A packed vector as a flat one."""
    for own, place in _layers(flat, sizes, bias, packed):
        own[:] = place


def _layers(flat: np.ndarray, sizes: Any, bias: bool, packed: np.ndarray) -> Iterator[Any]:
    """Of every layer, its rows in the flat vector and in the packed one."""
    at = to = 0
    for n, m in pairwise(map(int, sizes)):
        rows, width = n + bias, padded(m)
        own = flat[at : at + rows * m].reshape(rows, m)
        yield own, packed[to : to + rows * width].reshape(rows, width)[:, :m]
        at += rows * m
        to += (n + 1) * width


@fused
def product(
    a: Any, at_a: int, row: int, column: int, rows: int, inner: int,
    b: Any, at_b: int, width: int, start: Any, at_start: int, next_start: int, c: Any, at_c: int,
) -> None:  # fmt: skip
    """C = A B + S, (rows, width) row-major, which may be S itself.

    A[r, i] = a[at_a + r row + i column]; B (inner, width) row-major; S[r, j] =
    start[at_start + r next_start + j]. width: a multiple of LANES.
    """
    keep_whole()  # it is called often, and takes long to compile
    blocked = rows - rows % 4
    for r in range(0, blocked, 4):
        a0 = at_a + r * row
        a1, a2, a3 = a0 + row, a0 + 2 * row, a0 + 3 * row
        to, s0 = at_c + r * width, at_start + r * next_start
        s1, s2, s3 = s0 + next_start, s0 + 2 * next_start, s0 + 3 * next_start
        j = 0
        while j + 2 * LANES <= width:
            c00, c01 = load(start, s0 + j), load(start, s0 + j + LANES)
            c10, c11 = load(start, s1 + j), load(start, s1 + j + LANES)
            c20, c21 = load(start, s2 + j), load(start, s2 + j + LANES)
            c30, c31 = load(start, s3 + j), load(start, s3 + j + LANES)
            at, k = at_b + j, 0
            for _ in range(inner):
                b0, b1 = load(b, at), load(b, at + LANES)
                x0, x1 = splat(a[a0 + k]), splat(a[a1 + k])
                x2, x3 = splat(a[a2 + k]), splat(a[a3 + k])
                c00, c01 = fma(x0, b0, c00), fma(x0, b1, c01)
                c10, c11 = fma(x1, b0, c10), fma(x1, b1, c11)
                c20, c21 = fma(x2, b0, c20), fma(x2, b1, c21)
                c30, c31 = fma(x3, b0, c30), fma(x3, b1, c31)
                at += width
                k += column
            store(c, to + j, c00)
            store(c, to + j + LANES, c01)
            store(c, to + width + j, c10)
            store(c, to + width + j + LANES, c11)
            store(c, to + 2 * width + j, c20)
            store(c, to + 2 * width + j + LANES, c21)
            store(c, to + 3 * width + j, c30)
            store(c, to + 3 * width + j + LANES, c31)
            j += 2 * LANES
        if j < width:
            c00, c10 = load(start, s0 + j), load(start, s1 + j)
            c20, c30 = load(start, s2 + j), load(start, s3 + j)
            at, k = at_b + j, 0
            for _ in range(inner):
                b0 = load(b, at)
                c00 = fma(splat(a[a0 + k]), b0, c00)
                c10 = fma(splat(a[a1 + k]), b0, c10)
                c20 = fma(splat(a[a2 + k]), b0, c20)
                c30 = fma(splat(a[a3 + k]), b0, c30)
                at += width
                k += column
            store(c, to + j, c00)
            store(c, to + width + j, c10)
            store(c, to + 2 * width + j, c20)
            store(c, to + 3 * width + j, c30)
    for r in range(blocked, rows):
        a0, to, s0 = at_a + r * row, at_c + r * width, at_start + r * next_start
        j = 0
        while j + 4 * LANES <= width:
            c0, c1 = load(start, s0 + j), load(start, s0 + j + LANES)
            c2, c3 = load(start, s0 + j + 2 * LANES), load(start, s0 + j + 3 * LANES)
            at, k = at_b + j, a0
            for _ in range(inner):
                x0 = splat(a[k])
                c0, c1 = fma(x0, load(b, at), c0), fma(x0, load(b, at + LANES), c1)
                c2 = fma(x0, load(b, at + 2 * LANES), c2)
                c3 = fma(x0, load(b, at + 3 * LANES), c3)
                at += width
                k += column
            store(c, to + j, c0)
            store(c, to + j + LANES, c1)
            store(c, to + j + 2 * LANES, c2)
            store(c, to + j + 3 * LANES, c3)
            j += 4 * LANES
        while j < width:
            c0 = load(start, s0 + j)
            at, k = at_b + j, a0
            for _ in range(inner):
                c0 = fma(splat(a[k]), load(b, at), c0)
                at += width
                k += column
            store(c, to + j, c0)
            j += LANES


@fused
def tanh(x: Any) -> Any:
    """A rational function of degrees 13 and 6 (Eigen's), for LANES numbers."""
    x = clamp(x, splat(f32(7.90531110763549805)))
    s = x * x
    p = fma(s, splat(f32(-2.76076847742355e-16)), splat(f32(2.00018790482477e-13)))
    p = fma(s, p, splat(f32(-8.60467152213735e-11)))
    p = fma(s, p, splat(f32(5.12229709037114e-08)))
    p = fma(s, p, splat(f32(1.48572235717979e-05)))
    p = fma(s, p, splat(f32(6.37261928875436e-04)))
    p = fma(s, p, splat(f32(4.89352455891786e-03)))
    q = fma(s, splat(f32(1.19825839466702e-06)), splat(f32(1.18534705686654e-04)))
    q = fma(s, q, splat(f32(2.26843463243900e-03)))
    q = fma(s, q, splat(f32(4.89352518554385e-03)))
    return x * p / q


@fused
def activate(activation: int, z: Any, start: int, end: int, behind: int) -> None:
    """f(z) in place on z[start:end]; the length is a multiple of LANES. Of silu also f'(z), so far
    `behind` it."""
    one, half, leak = splat(f32(1.0)), splat(f32(0.5)), splat(f32(0.01))
    if activation == TANH:
        for i in range(start, end, LANES):
            store(z, i, tanh(load(z, i)))
    elif activation == SILU:
        for i in range(start, end, LANES):
            v = load(z, i)
            s = fma(half, tanh(half * v), half)
            h = v * s
            store(z, i, h)
            store(z, i + behind, fma(h, one - s, s))
    else:
        for i in range(start, end, LANES):
            v = load(z, i)
            p = positive(v)
            above = v * p
            if activation == LEAKY_RELU:
                above = above + leak * (v - above)
            elif activation == ELU:  # e^x - 1 = 2 t / (1 - t), t = tanh(x / 2)
                t = tanh(half * (v - above))
                above = above + (t + t) / (one - t)
            store(z, i, above)


@fused
def normalize(z: Any, at: int, rows: int, size: int, behind: int, inverses: int) -> None:
    """Rows of z to mean 0 and variance 1 in place, and again so far `behind`; 1 / s of each from
    `inverses` on. size: of a row, whose padding is zero and stays so."""
    width, share = padded(size), f32(1.0 / size)
    for at_row in range(at, at + rows * width, width):
        sums = squares = splat(f32(0.0))
        for j in range(at_row, at_row + width, LANES):
            sums = sums + load(z, j)
        mean = splat(total(sums) * share)
        for j in range(at_row, at_row + width, LANES):
            store(z, j, load(z, j) - mean)
        for j in range(at_row + size, at_row + width):
            z[j] = f32(0.0)
        for j in range(at_row, at_row + width, LANES):
            v = load(z, j)
            squares = fma(v, v, squares)
        inverse = f32(1.0 / math.sqrt(total(squares) * share + f32(1e-5)))
        z[inverses + (at_row - at) // width] = inverse
        for j in range(at_row, at_row + width, LANES):
            n = load(z, j) * splat(inverse)
            store(z, j, n)
            store(z, j + behind, n)


@fused
def forward(packed: Any, net: Net, inputs: Any, rows: int, work: Any) -> int:
    """The outputs of every layer at the first `rows` of inputs, kept in `work` one after the
    other, each (rows, padded size).

    packed, inputs, work: one-dimensional float32; inputs are rows of sizes[0]. Returns where in
    `work` the outputs of the last layer begin.
    """
    weight = at = source = 0
    below, sizes = inputs, net.sizes
    stride = sizes[0]
    last, behind = len(sizes) - 2, slopes_behind(sizes, rows)
    for layer in range(last + 1):
        n = sizes[layer]
        width = padded(sizes[layer + 1])
        bias = weight + n * width
        product(
            below, source, stride, 1, rows, n,
            packed, weight, width, packed, bias, 0, work, at,
        )  # fmt: skip
        if layer < last:
            if net.layer_norm:
                inverses = inverses_at(net, rows, layer)
                normalize(work, at, rows, sizes[layer + 1], norms_behind(net, rows), inverses)
            activate(net.activation, work, at, at + rows * width, behind)
        weight = bias + width
        below, source, stride = work, at, width
        at += rows * width
    return source
