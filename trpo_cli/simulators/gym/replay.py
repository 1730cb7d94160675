"""Bring a Gymnasium environment back to a moment of its episode, from numbers alone.

Gymnasium has no way to copy an environment. What can be stored is how the episode began (the state
of the environment's generator before the reset, or the seed that the reset was given) and the
actions since; the same reset and the same actions then lead to the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from trpo_cli.simulators.gym import wrapper_state


@dataclass(frozen=True)
class Origin:
    """How an episode began.

    seed: the last seed that the environment was reset with, by this reset or an earlier one.
    before: the state of its generator right before the reset; None when `seed` came with it.
    wrappers: the state of its wrappers right before the reset.
    """

    seed: int | None
    before: dict[str, Any] | None
    wrappers: list[Any]

    def as_json(self) -> dict[str, Any]:
        own = {"wrappers": self.wrappers} if self.wrappers else {}
        return {"seed": self.seed, "before": encode(self.before), **own}

    @classmethod
    def from_json(cls, item: Any) -> Origin:
        return cls(item["seed"], decode(item["before"]), item.get("wrappers", []))


def begin(
    env: gymnasium.Env[Any, Any], seed: int | None, earlier: Origin | None, new: list[Any]
) -> tuple[Any, Origin]:
    """Start an episode; returns its first observation, and how to start it again.

    new: the state of the wrappers when the environment was made. A seed brings them back to it
    and seeds their generators as well, so that the same seed gives the same episode whatever
    happened before.
    """
    if seed is not None:
        wrapper_state.load(env, new)
        wrapper_state.reseed(env, seed)
        origin = Origin(seed, None, wrapper_state.save(env))
        return env.reset(seed=seed)[0], origin
    last_seed = None if earlier is None else earlier.seed
    origin = Origin(last_seed, generator_state(env), wrapper_state.save(env))
    return env.reset()[0], origin


def begin_again(env: gymnasium.Env[Any, Any], origin: Origin) -> Any:
    """The same start once more, in any environment of the kind; returns its first observation.

    The seed comes first even if a later episode is wanted: what an environment draws only when it
    is seeded (a layout, say) is drawn again.
    """
    if origin.before is not None and origin.seed is not None:
        env.reset(seed=origin.seed)
    if origin.before is not None:
        set_generator(env, origin.before)
    if origin.wrappers:
        wrapper_state.load(env, origin.wrappers)
    return env.reset(seed=origin.seed if origin.before is None else None)[0]


def generator_state(env: gymnasium.Env[Any, Any]) -> dict[str, Any] | None:
    """The state of `env`'s own generator; None when that is not one of NumPy's."""
    bit_generator = getattr(getattr(env.unwrapped, "np_random", None), "bit_generator", None)
    if not isinstance(bit_generator, np.random.BitGenerator):
        return None
    return dict(bit_generator.state)


def set_generator(env: gymnasium.Env[Any, Any], state: dict[str, Any]) -> None:
    base, name = env.unwrapped, state["bit_generator"]
    if type(base.np_random.bit_generator).__name__ != name:
        kind = getattr(np.random, str(name), None)
        if not (isinstance(kind, type) and issubclass(kind, np.random.BitGenerator)):
            raise ValueError(f"NumPy has no bit generator {name}")
        base.np_random = np.random.Generator(kind())
    # In place: the environment may have handed the same generator to its parts.
    base.np_random.bit_generator.state = state


def encode(value: Any) -> Any:
    """A generator's state for JSON: some of NumPy's hold arrays of unsigned integers."""
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.name, "values": value.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"dtype", "values"}:
        return np.array(value["values"], dtype=value["dtype"])
    return {key: decode(item) for key, item in value.items()}


class ActionLog:
    """The actions of every environment's current episode.

    One row per step for all environments together, so that a step costs one copy. Rows from
    before the oldest current episode are dropped: the log holds about twice the longest episode
    so far.
    """

    def __init__(self, num_envs: int, shape: tuple[int, ...], dtype: Any, rows: int = 64) -> None:
        self._rows = np.zeros((rows, num_envs, *shape), dtype=dtype)
        self._starts = [0] * num_envs
        self._now = 0

    def append(self, actions: np.ndarray) -> np.ndarray:
        """Take down one step's actions (N, *act); returns the row as it is stored."""
        if self._now == len(self._rows):
            self._make_room(min(self._starts))
        row = self._rows[self._now]
        if actions.shape != row.shape:
            raise ValueError(f"actions {actions.shape}, expected {row.shape}")
        row[...] = actions
        self._now += 1
        return row

    def restart(self, i: int) -> None:
        """Environment i begins an episode."""
        self._starts[i] = self._now

    def episode(self, i: int) -> np.ndarray:
        """The actions (T, *act) of the current episode of environment i: a view."""
        return self._rows[self._starts[i] : self._now, i]

    def put(self, i: int, actions: np.ndarray) -> None:
        """Environment i has taken `actions` (T, *act) in its current episode."""
        self.restart(i)  # its own old actions are not worth keeping
        missing = len(actions) - self._now
        if missing > 0:
            self._make_room(-missing)
        self._starts[i] = self._now - len(actions)
        self._rows[self._starts[i] : self._now, i] = actions

    def _make_room(self, first: int) -> None:
        """Let row `first` become row 0 (negative: empty rows in front), with room behind."""
        kept = self._rows[max(first, 0) : self._now]
        used = self._now - first
        size = max(len(self._rows), 2 * used)
        rows = np.zeros((size, *self._rows.shape[1:]), self._rows.dtype)
        rows[used - len(kept) : used] = kept
        self._rows, self._now = rows, used
        self._starts = [start - first for start in self._starts]
