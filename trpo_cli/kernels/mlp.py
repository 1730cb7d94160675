"""A multi-layer perceptron in compiled code: forward, and the gradient backward.

Parameters lie in a `packed` vector: layer by layer the weight (inputs, padded outputs) row-major,
then the bias (padded outputs,), the padding zero. `pack` and `unpack` translate from and to the
flat vector of `models.mlp`. An optimiser may work on packed vectors as they are: the gradient of
the padding is zero.

Every output is one chain of fused products and sums over the inputs, in their order, begun at the
bias: it depends neither on the number of rows nor on how they are blocked.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.jit import fused
from trpo_cli.kernels.vector import LANES, aligned, clamp, fma, load, padded, positive, splat, store

f32 = np.float32
LINE = LANES - 1


class Net(NamedTuple):
    """What an MLP is. sizes: int64, of every layer; relu: or tanh; bias: or none."""

    sizes: Any
    relu: bool
    bias: bool


class Room(NamedTuple):
    """Where the rows of a minibatch are worked on; one-dimensional float32, at first zero.

    inputs: rows of sizes[0]. work, slopes: `work_size`, the outputs of every layer and the
    gradients with respect to them. spare: `spare_size`.
    """

    inputs: Any
    work: Any
    slopes: Any
    spare: Any


def packed_size(sizes: Any) -> int:
    """Numbers in the packed vector of an MLP of these layer sizes."""
    return sum((int(n) + 1) * padded(int(m)) for n, m in pairwise(sizes))


def work_size(sizes: Any, rows: int) -> int:
    """Numbers in `work` for so many rows: the outputs of every layer."""
    return rows * sum(padded(int(m)) for m in sizes[1:])


def spare_size(sizes: Any) -> int:
    """Numbers in `spare`: a row of zeros, and a transposed weight."""
    transposed = [int(m) * padded(int(n)) for n, m in pairwise(sizes)]
    return padded(int(max(sizes))) + max(transposed)


def make_room(sizes: Any, rows: int) -> Room:
    """Room for minibatches of so many rows."""
    counts = (rows * int(sizes[0]), work_size(sizes, rows), work_size(sizes, rows))
    return Room(*map(aligned, (*counts, spare_size(sizes))))


@fused
def pack(flat: Any, sizes: Any, bias: bool, packed: Any) -> None:
    """A flat vector as a packed one; whatever lay in the padding stays."""
    at = to = 0
    for layer in range(len(sizes) - 1):
        n, m = sizes[layer], sizes[layer + 1]
        width = (m + LINE) // LANES * LANES
        for i in range(n + 1 if bias else n):
            for j in range(m):
                packed[to + i * width + j] = flat[at + i * m + j]
        at += (n + 1) * m if bias else n * m
        to += (n + 1) * width


@fused
def unpack(packed: Any, sizes: Any, bias: bool, flat: Any) -> None:
    """A packed vector as a flat one."""
    at = to = 0
    for layer in range(len(sizes) - 1):
        n, m = sizes[layer], sizes[layer + 1]
        width = (m + LINE) // LANES * LANES
        for i in range(n + 1 if bias else n):
            for j in range(m):
                flat[at + i * m + j] = packed[to + i * width + j]
        at += (n + 1) * m if bias else n * m
        to += (n + 1) * width


@fused
def gather(a: Any, order: Any, start: int, rows: int, columns: int, out: Any) -> None:
    """out[r] = a[order[start + r]], rows of `columns` numbers."""
    for r in range(rows):
        at, to = order[start + r] * columns, r * columns
        for j in range(columns):
            out[to + j] = a[at + j]


@fused
def product(
    a: Any, at_a: int, row: int, column: int, rows: int, inner: int,
    b: Any, at_b: int, width: int, start: Any, at_start: int, c: Any, at_c: int,
) -> None:  # fmt: skip
    """C = A B + start, (rows, width) row-major; `start` (width,) is what every row begins with.

    A[r, i] = a[at_a + r row + i column]; B (inner, width) row-major. width: a multiple of LANES.
    """
    blocked = rows - rows % 4
    for r in range(0, blocked, 4):
        a0 = at_a + r * row
        a1, a2, a3 = a0 + row, a0 + 2 * row, a0 + 3 * row
        to = at_c + r * width
        j = 0
        while j + 2 * LANES <= width:
            c00 = c10 = c20 = c30 = load(start, at_start + j)
            c01 = c11 = c21 = c31 = load(start, at_start + j + LANES)
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
            c00 = c10 = c20 = c30 = load(start, at_start + j)
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
        a0, to = at_a + r * row, at_c + r * width
        j = 0
        while j + 4 * LANES <= width:
            c0, c1 = load(start, at_start + j), load(start, at_start + j + LANES)
            c2 = load(start, at_start + j + 2 * LANES)
            c3 = load(start, at_start + j + 3 * LANES)
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
            c0 = load(start, at_start + j)
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
def activate(relu: bool, z: Any, start: int, end: int) -> None:
    """f(z) in place on z[start:end]; the length is a multiple of LANES."""
    for i in range(start, end, LANES):
        v = load(z, i)
        store(z, i, v * positive(v) if relu else tanh(v))


@fused
def forward(packed: Any, sizes: Any, relu: bool, inputs: Any, rows: int, work: Any) -> int:
    """The outputs of every layer at the first `rows` of inputs, kept in `work` one after the
    other, each (rows, padded size).

    packed, inputs, work: one-dimensional float32; inputs are rows of sizes[0]. Returns where in
    `work` the outputs of the last layer begin.
    """
    weight = at = source = 0
    below = inputs
    stride = sizes[0]
    last = len(sizes) - 2
    for layer in range(last + 1):
        n = sizes[layer]
        width = (sizes[layer + 1] + LINE) // LANES * LANES
        bias = weight + n * width
        product(
            below, source, stride, 1, rows, n,
            packed, weight, width, packed, bias, work, at,
        )  # fmt: skip
        if layer < last:
            activate(relu, work, at, at + rows * width)
        weight = bias + width
        below, source, stride = work, at, width
        at += rows * width
    return source


@fused
def backward(net: Net, packed: Any, room: Room, rows: int, gradient: Any) -> None:
    """The gradient with respect to the packed parameters, summed over the first rows of
    `room.inputs`, into `gradient`.

    room: as `forward` left it; in `room.slopes`, the gradient with respect to the outputs where
    `forward` said that the outputs are, zero in the padding. The other layers' are put there.
    """
    sizes, work, slopes, spare = net.sizes, room.work, room.slopes, room.spare
    weight = at = widest = 0
    for layer in range(len(sizes) - 1):
        width = (sizes[layer + 1] + LINE) // LANES * LANES
        weight += (sizes[layer] + 1) * width
        at += rows * width
    for size in sizes:
        widest = max(widest, (size + LINE) // LANES * LANES)
    for layer in range(len(sizes) - 2, -1, -1):
        n, m = sizes[layer], sizes[layer + 1]
        width, below = (m + LINE) // LANES * LANES, (n + LINE) // LANES * LANES
        weight -= (n + 1) * width
        at -= rows * width
        if layer == 0:
            product(
                room.inputs, 0, 1, n, n, rows,
                slopes, at, width, spare, 0, gradient, weight,
            )  # fmt: skip
        else:
            source = at - rows * below
            product(
                work, source, 1, below, n, rows,
                slopes, at, width, spare, 0, gradient, weight,
            )  # fmt: skip
            transpose(packed, weight, n, m, width, spare, widest, below)
            product(
                slopes, at, width, 1, rows, m,
                spare, widest, below, spare, 0, slopes, source,
            )  # fmt: skip
            through_activation(net.relu, work, slopes, source, at)
        column_sums(slopes, at, rows, width, gradient, weight + n * width, net.bias)


@fused
def transpose(a: Any, at: int, n: int, m: int, width: int, b: Any, to: int, padded_n: int) -> None:
    """b[j, i] = a[i, j] for i < n, j < m; rows of `width` in a and of `padded_n` in b, there with
    zeros at their ends."""
    for j in range(m):
        for i in range(n):
            b[to + j * padded_n + i] = a[at + i * width + j]
        for i in range(n, padded_n):
            b[to + j * padded_n + i] = f32(0.0)


@fused
def through_activation(relu: bool, h: Any, g: Any, start: int, end: int) -> None:
    """g *= f'(z), from h = f(z)."""
    for i in range(start, end, LANES):
        v = load(h, i)
        store(g, i, load(g, i) * (positive(v) if relu else splat(f32(1.0)) - v * v))


@fused
def column_sums(g: Any, at: int, rows: int, width: int, sums: Any, to: int, wanted: bool) -> None:
    """sums[to + j] = sum over rows of g[r, j], or zero where it is not wanted."""
    for j in range(0, width, LANES):
        total = splat(f32(0.0))
        if wanted:
            for r in range(rows):
                total = total + load(g, at + r * width + j)
        store(sums, to + j, total)
