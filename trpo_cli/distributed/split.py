"""Batches that are spread over processes.

Process r holds n_r of the B samples of a batch. What one process with all of them would compute,

    1/B sum_i x_i  =  sum_r 1/B sum_{i in r} x_i  =  sum_r (n_r / B) mean_r x,

they compute together, up to the order of the sums. Samples are numbered over the whole batch, and
every process draws the same numbers from the same generator: a minibatch, or a part of the batch,
is the same set of samples however many processes there are, and each works on its own of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from trpo_cli.maths.arrays import Array

Minibatches = Iterable[tuple[slice, int]]
"""Of each minibatch: where its rows of this process lie, and its size over all processes."""


class Split(Protocol):
    """What formulas over a batch ask. x is an array, or a number, which comes back as one."""

    share: float
    """n_r / B."""

    def size(self, own: int) -> int:
        """B, of which this process has `own`."""
        ...

    def sum(self, x: Array) -> Array:
        """sum_r x_r; arrays in place."""
        ...

    def average(self, x: Array) -> Array:
        """The mean over all samples, from the mean x over those of this process."""
        ...

    def max(self, x: Any) -> Any:
        """max_r x_r, of numbers."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether it holds in any process."""
        ...

    def part(self, numbers: np.ndarray) -> tuple[np.ndarray, Split]:
        """For a part of the batch, by the numbers of its samples: the rows of this process, in
        that order, and how the part is split."""
        ...

    def minibatches(self, order: np.ndarray, chunk: int) -> tuple[np.ndarray, Minibatches]:
        """For minibatches of `chunk` consecutive samples of `order` (B,): the rows of this
        process, in that order, and where in there each minibatch lies."""
        ...


class Whole:
    """One process has all samples: nothing is to be done."""

    share = 1.0

    def size(self, own: int) -> int:
        return own

    def sum(self, x: Array) -> Array:
        return x

    def average(self, x: Array) -> Array:
        return x

    def max(self, x: Any) -> Any:
        return x

    def any(self, flag: bool) -> bool:
        return flag

    def part(self, numbers: np.ndarray) -> tuple[np.ndarray, Split]:
        return numbers, self

    def minibatches(self, order: np.ndarray, chunk: int) -> tuple[np.ndarray, Minibatches]:
        size = len(order)
        starts = range(0, size, chunk)
        return order, [(slice(start, start + chunk), min(chunk, size - start)) for start in starts]


WHOLE = Whole()


class Group(Protocol):
    """Processes that compute together; `ranks.Ranks` is one."""

    def sum(self, x: Array) -> Array: ...

    def max(self, x: float) -> float: ...


class Shared:
    """This process has the samples `numbers` (n,), ascending, of `size`."""

    def __init__(self, group: Group, numbers: np.ndarray, size: int) -> None:
        self._group, self._size = group, size
        self.share = len(numbers) / size
        self._row = np.full(size, -1)  # of each sample here; -1: another process has it
        self._row[numbers] = np.arange(len(numbers))

    def size(self, own: int) -> int:
        return self._size

    def sum(self, x: Array) -> Array:
        return self._group.sum(x)

    def average(self, x: Array) -> Array:
        return self._group.sum(x * self.share)

    def max(self, x: Any) -> Any:
        return self._group.max(float(x))

    def any(self, flag: bool) -> bool:
        return self._group.max(float(flag)) > 0.0

    def part(self, numbers: np.ndarray) -> tuple[np.ndarray, Split]:
        rows = self._row[numbers]
        ours = rows >= 0
        return rows[ours], Shared(self._group, np.flatnonzero(ours), len(numbers))

    def minibatches(self, order: np.ndarray, chunk: int) -> tuple[np.ndarray, Minibatches]:
        rows, size = self._row[order], len(order)
        ours = rows >= 0
        before = np.concatenate([[0], np.cumsum(ours)]).tolist()
        ends = [(start, min(start + chunk, size)) for start in range(0, size, chunk)]
        return rows[ours], [(slice(before[a], before[b]), b - a) for a, b in ends]
