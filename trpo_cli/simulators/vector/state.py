"""The state of a native vector environment of Gymnasium's: what it keeps of each environment, and
what all of them share."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from trpo_cli.simulators.gym import wrapper_state

Rows = dict[str, np.ndarray]
"""By the name of an attribute: (E, ...), a row for each of some environments."""
_PLAIN = (bool, int, float, str, np.ndarray, np.generic, np.random.Generator)
_GENERATORS = (np.random.RandomState, random.Random)


def axes_of(one: VectorEnv[Any, Any, Any], other: VectorEnv[Any, Any, Any]) -> dict[str, int]:
    """The attributes that have an entry for each environment, and the axis along which they do:
    arrays that differ in length along exactly this one between two vector environments of a kind.

    one, other: of different numbers of environments, both reset.
    """
    found, theirs = {}, vars(other.unwrapped)
    for name, value in vars(one.unwrapped).items():
        if not _is_array(value) or not _is_array(theirs.get(name)):
            continue
        ours, others = value.shape, theirs[name].shape
        if len(ours) != len(others):
            continue
        differ = [
            axis for axis, pair in enumerate(zip(ours, others, strict=True)) if len({*pair}) > 1
        ]
        if len(differ) == 1 and (ours[differ[0]], others[differ[0]]) == (
            one.num_envs,
            other.num_envs,
        ):
            found[name] = differ[0]
    return found


class VectorState:
    """Reads and writes the state of one vector environment.

    axes: see `axes_of`. Numbers, strings, arrays and generators beside them are shared.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], axes: Mapping[str, int]) -> None:
        self._env: Any = env.unwrapped
        self._axes = axes
        _ = self._env.np_random  # made when it is first read: a saved one is put into it

    def rows(self, ids: Sequence[int] | np.ndarray | slice = slice(None)) -> Rows:
        """Copies of the rows of some environments."""
        return {
            name: np.moveaxis(np.array(getattr(self._env, name)), axis, 0)[ids]
            for name, axis in self._axes.items()
        }

    def put(self, ids: np.ndarray, rows: Rows) -> None:
        for name, axis in self._axes.items():
            array = getattr(self._env, name)
            index = (*(slice(None) for _ in range(axis)), ids)
            values = np.moveaxis(rows[name], 0, axis) if axis else rows[name]
            if hasattr(array, "at"):  # JAX: its arrays cannot be written to
                setattr(self._env, name, array.at[index].set(values))
            else:
                array[index] = values

    def of(self, arrays: Mapping[str, np.ndarray], part: str) -> Rows:
        """The rows among a snapshot's arrays, whose names begin with a part's."""
        return {name: arrays[f"{part}/{name}"] for name in self._axes}

    def shared(self) -> Any:
        """What no environment has for itself, as JSON."""
        return wrapper_state.encode(self._shared())

    def put_shared(self, saved: Any) -> None:
        vars(self._env).update(wrapper_state.decode(saved, self._shared()))

    def _shared(self) -> dict[str, Any]:
        found = {}
        for name, value in vars(self._env).items():
            if name in self._axes:
                continue
            if hasattr(value, "at") and _is_array(value):
                value = np.asarray(value)
            if value is None or isinstance(value, (*_PLAIN, *_GENERATORS)):
                found[name] = value
        return found


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "at") and hasattr(value, "shape"))
