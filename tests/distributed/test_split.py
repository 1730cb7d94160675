"""A batch in parts is the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trpo_cli.distributed.processes import Processes
from trpo_cli.distributed.split import WHOLE, Split

SIZE = 23
PARTS = [np.array([0, 3, 4, 22]), np.array([], dtype=np.int64), np.array([1, 2])]
PARTS.append(np.setdiff1d(np.arange(SIZE), np.concatenate(PARTS)))
ORDER = np.random.default_rng(0).permutation(SIZE)


class Recorded(Processes):
    """Processes that keep what they are to sum."""

    def __init__(self) -> None:
        super().__init__(0, len(PARTS))
        self.asked: list[Any] = []

    def sum(self, x: Any) -> Any:
        self.asked.append(x)
        return x

    def max(self, x: float) -> float:
        self.asked.append(x)
        return x


def splits(processes: Recorded | None = None) -> list[Split]:
    return [Split(processes or Recorded(), numbers, SIZE) for numbers in PARTS]


class TestSplit:
    def test_shares_add_up(self) -> None:
        assert sum(split.share for split in splits()) == pytest.approx(1.0)
        assert all(split.size(3) == SIZE for split in splits())

    def test_the_average_is_that_of_all_samples(self) -> None:
        processes, x = Recorded(), np.random.default_rng(1).normal(size=(SIZE, 2))
        for split, numbers in zip(splits(processes), PARTS, strict=True):
            if len(numbers):
                split.average(x[numbers].mean(axis=0))
        np.testing.assert_allclose(np.sum(processes.asked, axis=0), x.mean(axis=0))

    @pytest.mark.parametrize("chunk", [1, 4, 7, SIZE])
    def test_minibatches_are_those_of_one_process(self, chunk: int) -> None:
        _, wanted = WHOLE.minibatches(ORDER, chunk)
        found: list[list[int]] = [[] for _ in wanted]
        sizes = [size for _, size in wanted]
        for split, numbers in zip(splits(), PARTS, strict=True):
            rows, minibatches = split.minibatches(ORDER, chunk)
            assert [size for _, size in minibatches] == sizes
            for samples, (own, _) in zip(found, minibatches, strict=True):
                samples += numbers[rows][own].tolist()
        for samples, (own, size) in zip(found, wanted, strict=True):
            assert sorted(samples) == sorted(ORDER[own].tolist())
            assert len(samples) == size

    def test_rows_keep_the_order(self) -> None:
        for split, numbers in zip(splits(), PARTS, strict=True):
            rows, _ = split.minibatches(ORDER, 5)
            ours = [i for i in ORDER.tolist() if i in numbers]
            assert numbers[rows].tolist() == ours

    def test_a_part_of_the_batch(self) -> None:
        chosen, found, share = np.array([1, 3, 4, 9, 20]), list[int](), 0.0
        for split, numbers in zip(splits(), PARTS, strict=True):
            rows, part = split.part(chosen)
            found += numbers[rows].tolist()
            share += part.share
            assert part.size(len(rows)) == 5
        assert sorted(found) == chosen.tolist()
        assert share == pytest.approx(1.0)
