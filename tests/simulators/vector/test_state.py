"""Where a vector environment keeps what, found by comparing two of different sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from trpo_cli.simulators.vector.state import VectorState, axes_of


class Fixed:
    """An array that cannot be written to, as JAX's are: ``at[index].set(values)`` is a new one."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.dtype, self.at = array, array.shape, array.dtype, self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._array.copy()

    def __getitem__(self, index: Any) -> Fixed:
        self._index = index
        return self

    def set(self, values: Any) -> Fixed:
        array = self._array.copy()
        array[self._index] = values
        return Fixed(array)


class Kept(VectorEnv[Any, Any, Any]):
    """Arrays of every kind, none of them for (4,) environments in particular."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.columns = np.zeros((4, num_envs))
        self.flags = np.zeros(num_envs, bool)
        self.middle = np.zeros((2, num_envs, 3))
        self.fixed = Fixed(np.zeros((num_envs, 2)))
        self.table, self.key = np.zeros((4, 4)), Fixed(np.zeros(2))
        self.pairs, self.total, self.name = np.zeros((num_envs, num_envs)), 0, "kept"
        self.others: Any = [0] * num_envs


AXES = {"columns": 1, "flags": 0, "middle": 1, "fixed": 0}


def test_axes() -> None:
    assert axes_of(Kept(4), Kept(3)) == AXES


def test_rows_go_where_they_came_from() -> None:
    generator, ours, other = np.random.default_rng(0), Kept(4), Kept(4)
    for name in ("columns", "middle"):
        getattr(ours, name)[...] = generator.normal(size=getattr(ours, name).shape)
    ours.fixed, ours.flags[2] = Fixed(generator.normal(size=(4, 2))), True
    rows = VectorState(ours, AXES).rows([2, 0])
    assert {name: len(row) for name, row in rows.items()} == dict.fromkeys(AXES, 2)
    VectorState(other, AXES).put(np.array([1, 3]), rows)
    np.testing.assert_array_equal(other.columns[:, [1, 3]], ours.columns[:, [2, 0]])
    np.testing.assert_array_equal(other.middle[:, [1, 3]], ours.middle[:, [2, 0]])
    np.testing.assert_array_equal(np.array(other.fixed)[[1, 3]], np.array(ours.fixed)[[2, 0]])
    assert other.flags.tolist() == [False, True, False, False]
    assert not other.columns[:, [0, 2]].any() and not np.array(other.fixed)[[0, 2]].any()


def test_what_is_shared() -> None:
    """Numbers, words, arrays and the generator; neither lists nor what has an axis of its own."""
    ours, other = Kept(4), Kept(4)
    ours.reset(seed=5)
    ours.total, ours.name, ours.table[1, 2], ours.key = 7, "other", 3.0, Fixed(np.ones(2))
    ours.others, ours.flags[0] = [1] * 4, True
    drawn = VectorState(ours, AXES).shared()
    expected = ours.np_random.normal(size=3)
    VectorState(other, AXES).put_shared(drawn)
    np.testing.assert_array_equal(other.np_random.normal(size=3), expected)
    assert (other.total, other.name, other.table[1, 2]) == (7, "other", 3.0)
    np.testing.assert_array_equal(other.key, [1, 1])
    assert other.others == [0] * 4 and not other.flags.any()
