"""The order in which an epoch goes through a batch, and who waits for its steps."""

from __future__ import annotations

import numpy as np

from trpo_cli.data.sequences import Together
from trpo_cli.distributed.split import Split
from trpo_cli.maths.arrays import Array, namespace
from trpo_cli.seeding import on_device

KINDS = ("cuda",)
"""Kinds of devices that take steps alone; tests add the CPU."""
DRAW_THERE = True
"""Whether a GPU draws orders itself. What compares it with a CPU says no."""


def takes_alone(parameters: Array, split: Split) -> bool:
    """Whether a device takes steps on these parameters by itself, without anybody who waits for
    the outcome of each. Several processes do wait: they exchange gradients."""
    if isinstance(parameters, np.ndarray):
        return False
    return parameters.device.type in KINDS and split.is_whole


def draw_order(
    size: int,
    generator: np.random.Generator,
    parameters: Array,
    split: Split,
    together: Together | None = None,
) -> Array:
    """The numbers of `size` samples in a random order, (size,) int64. together: of sequences, one
    after the other, each in time; None: of the samples themselves.

    Numpy's, or on a GPU that takes steps alone torch's, drawn there from a seed that the generator
    gives: a generator that resumes gives the same orders again.
    """
    if together is not None:
        return together.members(generator.permutation(together.count(size)))
    if not (DRAW_THERE and takes_alone(parameters, split) and parameters.is_cuda):
        return generator.permutation(size)
    device = parameters.device
    there = on_device(generator, device)
    return namespace(parameters).randperm(size, device=device, generator=there)
