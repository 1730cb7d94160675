"""The fit of a value function in compiled code: all epochs and minibatches in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.kernels.adam import TAKEN, Step, Vectors, clipped_step
from trpo_cli.kernels.gradients import Room, backward, gather
from trpo_cli.kernels.jit import fused
from trpo_cli.kernels.mlp import Net, forward
from trpo_cli.kernels.vector import LANES, splat, store

f32 = np.float32


@fused
def fit(
    net: Net, vectors: Vectors, step: Step, count: int, room: Room,
    inputs: Any, targets: Any, order: Any, chunk: int,
) -> tuple[float, int]:  # fmt: skip
    """Adam on the mean squared error, minibatch by minibatch.

    count: Adam's steps so far. inputs: B rows one after the other; targets: (B,). order: of every
    epoch the numbers of all B samples. chunk: samples per minibatch.
    Returns the sum of all squared errors, and Adam's steps now.
    """
    size, features, loss = len(targets), net.sizes[0], 0.0
    for epoch in range(0, len(order), size):
        for start in range(epoch, epoch + size, chunk):
            rows = min(chunk, epoch + size - start)
            gather(inputs, order, start, rows, features, room.inputs)
            at = forward(vectors.parameters, net, room.inputs, rows, room.work)
            scale = f32(2.0 / rows)
            for r in range(rows):
                error = room.work[at + r * LANES] - targets[order[start + r]]
                loss += error * error
                store(room.slopes, at + r * LANES, splat(f32(0.0)))
                room.slopes[at + r * LANES] = error * scale
            backward(net, vectors.parameters, room, rows, vectors.gradient)
            if clipped_step(vectors, step, count) == TAKEN:
                count += 1
    return loss, count
