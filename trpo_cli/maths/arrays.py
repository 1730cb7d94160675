"""One source for two array libraries.

Every formula below `maths` is written once and runs on numpy arrays and on torch tensors: numpy
serves small networks on a CPU, where a torch operation costs three times as much as its
arithmetic (measured; a PPO minibatch of 64 takes 80 microseconds against 230), torch serves
other networks, GPUs and the tests, where autograd is the oracle. Operators, methods and the
functions that both libraries spell alike are enough.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Array = Any  # np.ndarray or torch.Tensor
"""A numpy array or a torch tensor; never both in one call."""


def namespace(x: Array) -> Any:
    """The library whose functions apply to x."""
    return np if isinstance(x, np.ndarray) else sys.modules["torch"]


def copy(x: Array) -> Array:
    """A copy that shares nothing with x."""
    return x.copy() if isinstance(x, np.ndarray) else x.detach().clone()


def as_numpy(x: Array) -> np.ndarray:
    """x, or what a tensor holds."""
    return x if isinstance(x, np.ndarray) else np.asarray(x.detach().cpu())


def norm(x: Array) -> float:
    """Euclidean norm of a vector."""
    return float(x @ x) ** 0.5
