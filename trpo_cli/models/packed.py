"""An MLP, its parameters and its Adam as compiled code wants them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.distributed.split import Split
from trpo_cli.maths.adam import Adam
from trpo_cli.models.mlp import MLP

if TYPE_CHECKING:
    from trpo_cli.kernels.adam import Step

WIDEST = 512
"""Larger layers are left to the matrix products of numpy's library, which reads a weight in blocks
that fit a processor's cache."""


def packable(network: Any, parameters: Any, split: Split) -> bool:
    """Whether compiled code can update a network: an MLP in numpy's float32, in one process."""
    return (
        isinstance(network, MLP)
        and isinstance(parameters, np.ndarray)
        and parameters.dtype == np.float32
        and max(network.sizes) <= WIDEST
        and split.is_whole
    )


class Packed:
    """Packed copies of the vectors of an Adam, and room for minibatches of `rows` samples.

    The parameters are an MLP's and then some more, as `models.policy` orders them.
    """

    def __init__(self, mlp: MLP, adam: Adam, rows: int) -> None:
        from trpo_cli.kernels.adam import Vectors
        from trpo_cli.kernels.mlp import Net, make_room, packed_size
        from trpo_cli.kernels.vector import aligned, padded

        self._adam, self._own = adam, mlp.num_parameters
        self.net = Net(np.array(mlp.sizes), mlp.activation == "relu", mlp.bias)
        self.room = make_room(mlp.sizes, rows)
        self.extra = packed_size(mlp.sizes)
        """Where the parameters beside the network's begin."""
        length = self.extra + padded(len(adam.parameters) - self._own)
        self.vectors = Vectors(*(aligned(length) for _ in range(4)))
        self.pack()

    def _pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        adam, vectors = self._adam, self.vectors
        return [
            (adam.parameters, vectors.parameters),
            (adam.first, vectors.first),
            (adam.second, vectors.second),
        ]

    def pack(self) -> None:
        """Take over what the Adam has."""
        from trpo_cli.kernels.mlp import pack

        for flat, packed in self._pairs():
            pack(flat, self.net.sizes, self.net.bias, packed)
            packed[self.extra : self.extra + len(flat) - self._own] = flat[self._own :]

    def unpack(self, steps: int) -> None:
        """Give the Adam what has become of it in `steps` steps altogether."""
        from trpo_cli.kernels.mlp import unpack

        for flat, packed in self._pairs():
            unpack(packed, self.net.sizes, self.net.bias, flat)
            flat[self._own :] = packed[self.extra : self.extra + len(flat) - self._own]
        self._adam.set_steps(steps)

    def step(self, learning_rate: float, max_norm: float | None) -> Step:
        """The settings of the Adam's steps."""
        from trpo_cli.kernels.adam import Step

        adam = self._adam
        bound = math.inf if max_norm is None else max_norm
        return Step(learning_rate, *adam.betas, adam.eps, bound)
