"""Products with a perceptron's Jacobian J in compiled code: J v forward, J' u backward.

The equations are those of `models.mlp`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.jit import fused
from trpo_cli.kernels.mlp import (
    ELU,
    LEAKY_RELU,
    SILU,
    TANH,
    Net,
    inverses_at,
    norms_behind,
    product,
    slopes_behind,
    work_size,
)
from trpo_cli.kernels.vector import (
    LANES,
    aligned,
    fma,
    load,
    padded,
    positive,
    splat,
    store,
    total,
    transpose_tile,
)

f32 = np.float32


class Room(NamedTuple):
    """Where the rows of a minibatch are worked on; one-dimensional float32, at first zero.

    inputs: rows of sizes[0]. work, slopes: `work_size`, the outputs of every layer and the
    gradients with respect to them. spare: `spare_size`, see `transpose`.
    """

    inputs: Any
    work: Any
    slopes: Any
    spare: Any


def spare_size(sizes: Any) -> int:
    """Numbers in `spare`: a row of zeros, and all weights but the first one, transposed."""
    return padded(int(max(sizes))) + sum(int(m) * padded(int(n)) for n, m in pairwise(sizes[1:]))


def make_room(net: Net, rows: int) -> Room:
    """Room for minibatches of so many rows."""
    size = work_size(net, rows)
    counts = (rows * int(net.sizes[0]), size, size)
    return Room(*map(aligned, (*counts, spare_size(net.sizes))))


@fused
def gather(a: Any, order: Any, start: int, rows: int, columns: int, out: Any) -> None:
    """out[r] = a[order[start + r]], rows of `columns` numbers."""
    for r in range(rows):
        at, to = order[start + r] * columns, r * columns
        for j in range(columns):
            out[to + j] = a[at + j]


@fused
def transpose(net: Net, packed: Any, spare: Any) -> None:
    """The weights of all layers but the first, transposed, into `spare` behind its zeros: each
    (outputs, padded inputs) row-major, the padding zero."""
    weight, to = 0, zeros_in(net.sizes)
    for layer in range(len(net.sizes) - 1):
        n, m = net.sizes[layer], net.sizes[layer + 1]
        width, below = padded(m), padded(n)
        if layer:
            tiles = n - n % LANES
            for j in range(0, m - m % LANES, LANES):
                for i in range(0, tiles, LANES):
                    corner = weight + i * width + j
                    transpose_tile(packed, corner, width, spare, to + j * below + i, below)
            for j in range(m):
                done = tiles if j < m - m % LANES else 0
                for i in range(done, n):
                    spare[to + j * below + i] = packed[weight + i * width + j]
                for i in range(n, below):
                    spare[to + j * below + i] = f32(0.0)
            to += m * below
        weight += (n + 1) * width


@fused
def zeros_in(sizes: Any) -> int:
    """How many zeros `spare` begins with."""
    widest = 0
    for size in sizes:
        widest = max(widest, padded(size))
    return widest


@fused
def pull(
    net: Net, inputs: Any, rows: int, work: Any, slopes: Any, spare: Any, gradient: Any, add: bool
) -> None:
    """J' u summed over the rows, into the packed `gradient` or, with `add`, added to it.

    inputs, work: as `forward` had and left them. slopes: laid out as `work`; u stands where the
    outputs stand there, zero in the padding, and the other layers' gradients are put there.
    spare: as `transpose` left it.
    """
    sizes = net.sizes
    weight = at = 0
    back = zeros_in(sizes)
    for layer in range(len(sizes) - 1):
        width = padded(sizes[layer + 1])
        weight += (sizes[layer] + 1) * width
        at += rows * width
        if layer:
            back += sizes[layer + 1] * padded(sizes[layer])
    for layer in range(len(sizes) - 2, -1, -1):
        n, m = sizes[layer], sizes[layer + 1]
        width, below = padded(m), padded(n)
        weight -= (n + 1) * width
        at -= rows * width
        source = at - rows * below
        below_it, at_below, stride = work, source, below
        if layer == 0:
            below_it, at_below, stride = inputs, 0, n
        so_far, at_sum, next_sum = spare, 0, 0
        if add:
            so_far, at_sum, next_sum = gradient, weight, width
        product(
            below_it, at_below, 1, stride, n, rows,
            slopes, at, width, so_far, at_sum, next_sum, gradient, weight,
        )  # fmt: skip
        column_sums(slopes, at, rows, width, gradient, weight + n * width, net.bias, add)
        if layer:
            back -= m * below
            product(
                slopes, at, width, 1, rows, m,
                spare, back, below, spare, 0, 0, slopes, source,
            )  # fmt: skip
            through_activation(net, work, rows, slopes, source, at)
            if net.layer_norm:
                through_norm(net, work, rows, slopes, source, layer - 1)


@fused
def backward(net: Net, packed: Any, room: Room, rows: int, gradient: Any) -> None:
    """The gradient with respect to the packed parameters, summed over the first rows of
    `room.inputs`, into `gradient`.

    room: as `forward` left it; in `room.slopes`, the gradient with respect to the outputs where
    `forward` said that the outputs are, zero in the padding.
    """
    transpose(net, packed, room.spare)
    pull(net, room.inputs, rows, room.work, room.slopes, room.spare, gradient, False)


@fused
def push(
    net: Net, packed: Any, v: Any, inputs: Any, rows: int, work: Any, tangents: Any
) -> int:  # fmt: skip
    """J v of every layer's outputs, laid out as `work`, for a packed v.

    inputs, work: as `forward` had and left them. Returns where those of the last layer begin.
    """
    weight = at = source = 0
    stride = net.sizes[0]
    for layer in range(len(net.sizes) - 1):
        n = net.sizes[layer]
        width = padded(net.sizes[layer + 1])
        bias = weight + n * width
        if layer == 0:
            product(
                inputs, 0, stride, 1, rows, n, v, weight, width, v, bias, 0, tangents, at,
            )  # fmt: skip
        else:
            if net.layer_norm:
                through_norm(net, work, rows, tangents, source, layer - 1)
            through_activation(net, work, rows, tangents, source, at)
            product(
                tangents, source, stride, 1, rows, n,
                packed, weight, width, v, bias, 0, tangents, at,
            )  # fmt: skip
            product(
                work, source, stride, 1, rows, n,
                v, weight, width, tangents, at, width, tangents, at,
            )  # fmt: skip
        weight = bias + width
        source, stride = at, width
        at += rows * width
    return source


@fused
def through_activation(net: Net, work: Any, rows: int, g: Any, start: int, end: int) -> None:
    """g *= f'(z), from f(z) or from what `forward` kept in `work`."""
    one, leak, kind = splat(f32(1.0)), splat(f32(0.01)), net.activation
    if kind == TANH:
        for i in range(start, end, LANES):
            v = load(work, i)
            store(g, i, load(g, i) * (one - v * v))
    elif kind == SILU:
        behind = slopes_behind(net.sizes, rows)
        for i in range(start, end, LANES):
            store(g, i, load(g, i) * load(work, i + behind))
    else:
        for i in range(start, end, LANES):
            v = load(work, i)
            slope = positive(v)
            if kind == LEAKY_RELU:
                slope = slope + leak * (one - slope)
            elif kind == ELU:
                slope = one + v * (one - slope)
            store(g, i, load(g, i) * slope)


@fused
def through_norm(net: Net, work: Any, rows: int, g: Any, at: int, layer: int) -> None:
    """g <- P g, the rows of a hidden layer from `at` on, by what `forward` kept in `work`."""
    size = net.sizes[layer + 1]
    width, share = padded(size), f32(1.0 / size)
    behind, inverses = norms_behind(net, rows), inverses_at(net, rows, layer)
    for r in range(rows):
        row = at + r * width
        sums = products = splat(f32(0.0))
        for j in range(row, row + width, LANES):
            t = load(g, j)
            sums = sums + t
            products = fma(load(work, j + behind), t, products)
        mean, along = splat(total(sums) * share), splat(total(products) * share)
        inverse = splat(work[inverses + r])
        for j in range(row, row + width, LANES):
            t = load(g, j) - mean - load(work, j + behind) * along
            store(g, j, t * inverse)
        for j in range(row + size, row + width):
            g[j] = f32(0.0)


@fused
def column_sums(
    g: Any, at: int, rows: int, width: int, sums: Any, to: int, wanted: bool, add: bool
) -> None:
    """sums[to + j] = sum over rows of g[r, j], with `add` on top of it; zero if not wanted."""
    for j in range(0, width, LANES):
        total = load(sums, to + j) if add else splat(f32(0.0))
        if wanted:
            for r in range(rows):
                total = total + load(g, at + r * width + j)
        store(sums, to + j, total)
