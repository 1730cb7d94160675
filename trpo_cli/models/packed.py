"""An MLP, its parameters and its Adam as compiled code wants them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.distributed.split import Split
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.discrete import Bernoulli, Categorical
from trpo_cli.maths.distributions import Distribution
from trpo_cli.models.heads import BernoulliHead, CategoricalHead, GaussianHead
from trpo_cli.models.mlp import ACTIVATIONS, MLP

if TYPE_CHECKING:
    from trpo_cli.kernels.adam import Step
    from trpo_cli.kernels.mlp import Net
    from trpo_cli.kernels.policy import Head
    from trpo_cli.models.policy import Policy

WIDEST = 256
"""Wider layers are left to the matrix products of numpy's library, which reads a weight in blocks
that fit a processor's cache: at 512 it is a quarter faster, at 256 a little slower."""


def packable(network: Any, parameters: Any, split: Split) -> bool:
    """Whether compiled code can update a network: an MLP in numpy's float32, in one process."""
    return (
        isinstance(network, MLP)
        and isinstance(parameters, np.ndarray)
        and parameters.dtype == np.float32
        and max(network.sizes[1:]) <= WIDEST
        and split.is_whole
    )


def policy_packable(policy: Policy, split: Split) -> bool:
    """The same of a policy with one of our heads, and of all that belongs to it."""
    return (
        packable(policy.network, policy.parameters, split)
        and isinstance(policy.network, MLP)
        and policy.network.sizes[-1] == policy.head.num_outputs
        and isinstance(policy.head, GaussianHead | CategoricalHead | BernoulliHead)
    )


def numbers(x: np.ndarray) -> np.ndarray:
    """One-dimensional float32, as compiled code wants it."""
    return np.ascontiguousarray(x, dtype=np.float32).reshape(-1)


def probabilities(distribution: Distribution) -> np.ndarray:
    """Of every category, or of every 1, (B, D)."""
    assert isinstance(distribution, Categorical | Bernoulli)
    probs: np.ndarray = distribution.probs()
    return probs


def head_of(policy: Policy, layout: Layout) -> Head:
    """What the outputs of such a policy mean."""
    from trpo_cli.kernels import policy as kernel

    head, kind, parts, first = policy.head, kernel.BERNOULLI, np.zeros(1, dtype=np.int64), 0.0
    if isinstance(head, CategoricalHead):
        kind, parts = kernel.CATEGORICAL, np.array(head.sizes)
    elif isinstance(head, GaussianHead):
        kind = kernel.GAUSSIAN
        if head.first_log_std is not None:
            kind, first = kernel.STATE_GAUSSIAN, head.first_log_std
    return kernel.Head(kind, parts, layout.extra, np.float32(first))


def net_of(mlp: MLP) -> Net:
    """An MLP's shape for compiled code."""
    from trpo_cli.kernels.mlp import Net

    activation = ACTIVATIONS.index(mlp.activation)
    return Net(np.array(mlp.sizes), activation, mlp.bias, mlp.layer_norm)


class Layout:
    """Where the parameters of an MLP, and some more behind them, lie in a packed vector."""

    def __init__(self, mlp: MLP, parameters: np.ndarray) -> None:
        from trpo_cli.kernels.mlp import packed_size
        from trpo_cli.kernels.vector import padded

        self.net = net_of(mlp)
        self._own, self._all = mlp.num_parameters, len(parameters)
        self.extra = packed_size(mlp.sizes)
        """Where the parameters beside the network's begin."""
        self.length = self.extra + padded(self._all - self._own)

    def pack(self, flat: np.ndarray) -> np.ndarray:
        """A flat vector (P,) as a packed one."""
        from trpo_cli.kernels.mlp import pack
        from trpo_cli.kernels.vector import aligned

        packed = aligned(self.length)
        pack(flat, self.net.sizes, self.net.bias, packed)
        packed[self.extra : self.extra + self._all - self._own] = flat[self._own :]
        return packed

    def unpack(self, packed: np.ndarray, flat: np.ndarray) -> None:
        """A packed vector into a flat one (P,)."""
        from trpo_cli.kernels.mlp import unpack

        unpack(packed, self.net.sizes, self.net.bias, flat)
        flat[self._own :] = packed[self.extra : self.extra + self._all - self._own]


class Packed:
    """Packed copies of the vectors of an Adam over an MLP's parameters and perhaps some more, and
    room for minibatches of `rows` samples."""

    def __init__(self, mlp: MLP, adam: Adam, rows: int) -> None:
        from trpo_cli.kernels.adam import Vectors
        from trpo_cli.kernels.gradients import make_room
        from trpo_cli.kernels.vector import aligned

        self.layout = layout = Layout(mlp, adam.parameters)
        self.net, self.room, self._adam = layout.net, make_room(layout.net, rows), adam
        self.vectors = Vectors(
            layout.pack(adam.parameters),
            layout.pack(adam.first),
            layout.pack(adam.second),
            aligned(layout.length),
        )

    def unpack(self, steps: int) -> None:
        """Give the Adam what has become of it in `steps` steps altogether."""
        adam, layout, vectors = self._adam, self.layout, self.vectors
        layout.unpack(vectors.parameters, adam.parameters)
        layout.unpack(vectors.first, adam.first)
        layout.unpack(vectors.second, adam.second)
        adam.set_steps(steps)

    def step(self, learning_rate: float, max_norm: float | None) -> Step:
        """The settings of the Adam's steps."""
        from trpo_cli.kernels.adam import Step

        adam = self._adam
        bound = math.inf if max_norm is None else max_norm
        return Step(learning_rate, *adam.betas, adam.eps, bound)
