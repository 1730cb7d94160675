"""Batches that are spread over processes.

Process r holds n_r of the B samples of a batch. What one process with all of them would compute,

    1/B sum_i x_i  =  sum_r 1/B sum_{i in r} x_i  =  sum_r (n_r / B) mean_r x,

they compute together, up to the order of the sums. Samples are numbered over the whole batch, and
every process draws the same numbers from the same generator: a minibatch, or a part of the batch,
is the same set of samples however many processes there are, and each works on its own of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from trpo_cli.distributed.processes import ALONE, Processes

Minibatches = Iterable[tuple[slice, int]]
"""Of each minibatch: where its rows of this process lie, and its size over all processes."""


class Split:
    """How a batch lies over processes; with no arguments, whole in one.

    numbers: (n,), ascending: the samples of this process, of `size` = B. In the methods x is an
    array, or a number, which comes back as one.
    """

    def __init__(
        self, processes: Processes = ALONE, numbers: np.ndarray | None = None, size: int = 0
    ) -> None:
        self._processes, self._size = processes, size
        self._row: np.ndarray | None = None  # of each sample here; -1: another process has it
        self.share = 1.0
        """n_r / B."""
        if numbers is not None:
            self.share = len(numbers) / size
            self._row = np.full(size, -1)
            self._row[numbers] = np.arange(len(numbers))

    @property
    def is_whole(self) -> bool:
        """Whether this process has the whole batch, and no other has a part in it."""
        return self._row is None and self._processes.count == 1

    def size(self, own: int) -> int:
        """B, of which this process has `own`."""
        return own if self._row is None else self._size

    def sum(self, x: Any) -> Any:
        """sum_r x_r; arrays in place."""
        return self._processes.sum(x)

    def average(self, x: Any) -> Any:
        """The mean over all samples, from the mean x over those of this process."""
        return x if self._row is None else self._processes.sum(x * self.share)

    def max(self, x: Any) -> Any:
        """max_r x_r, of numbers."""
        return self._processes.max(x)

    def part(self, numbers: np.ndarray) -> tuple[np.ndarray, Split]:
        """For a part of the batch, by the numbers of its samples: the rows of this process, in
        that order, and how the part is split."""
        if self._row is None:
            return numbers, self
        rows, ours = self._own(numbers)
        return rows, Split(self._processes, np.flatnonzero(ours), len(numbers))

    def minibatches(self, order: np.ndarray, chunk: int) -> tuple[np.ndarray, Minibatches]:
        """For minibatches of `chunk` consecutive samples of `order` (B,): the rows of this
        process, in that order, and where in there each minibatch lies."""
        rows, ours = self._own(order)
        starts = np.arange(0, len(order), chunk)
        ends = np.minimum(starts + chunk, len(order))
        before = np.concatenate([[0], np.cumsum(ours)])
        places = map(slice, before[starts].tolist(), before[ends].tolist())
        return rows, list(zip(places, (ends - starts).tolist(), strict=True))

    def _own(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of those samples that this process has, and which of them it has."""
        if self._row is None:
            return numbers, np.ones(len(numbers), dtype=bool)
        rows = self._row[numbers]
        return rows[rows >= 0], rows >= 0


WHOLE = Split()
