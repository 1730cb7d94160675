"""The batched simulator protocol: N environments stepped together.

Everything above this package sees only `Simulator`. Autoreset happens in the same step: an ended
episode's next first observation is in `Step.observations`, and what the ended episode last saw is
in `Step.final_observations`. There is never a filler row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces


@dataclass(frozen=True)
class Step:
    """What N environments returned for one step.

    observations: (N, *obs). For an environment whose episode ended, already the next episode's
        first observation.
    rewards: (N,) float64.
    terminated: (N,) bool, the task ended the episode (the value after it is zero).
    truncated: (N,) bool, a time limit cut the episode (the value after it is not zero);
        False wherever `terminated` is True.
    ended: indices (E,) of the environments whose episode ended, ascending.
    final_observations: (E, *obs), the last observation of each ended episode, in that order.

    The arrays may be reused by the next call: copy what must outlive it.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ended: np.ndarray
    final_observations: np.ndarray


@dataclass(frozen=True)
class Snapshot:
    """The complete state of some environments: whatever decides their future.

    `arrays` hold one row per environment (physics state, elapsed steps, ...); `items` one
    JSON-able object per environment (the state of its random generator, ...).
    """

    arrays: dict[str, np.ndarray]
    items: list[Any]


class Simulator(Protocol):
    """N environments of one kind."""

    num_envs: int
    observation_space: spaces.Box
    action_space: spaces.Space[Any]
    max_episode_steps: int | None
    backend: str
    """'mujoco' or 'gymnasium', for the start banner."""
    failed_simulations: int
    """Episodes so far that were ended because the simulation became unstable or raised."""

    @property
    def restorable(self) -> str:
        """Empty when snapshot and restore are exact; otherwise the reason why they are not.

        Gymnasium environments are tried out for it when it is first read, on instances of their
        own: a few milliseconds and two more environments.
        """
        ...

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        """Start new episodes in the environments `ids` (all when None).

        seed: one integer per environment of `ids`, which restarts its generator as
        ``env.reset(seed=...)`` would; None goes on with the generators as they are.
        Returns the observations (N, *obs) of all N environments.
        """
        ...

    def step(self, actions: np.ndarray) -> Step:
        """Advance all environments by one control step; actions (N, *act) as the environment
        takes them (no clipping here beyond what the environment does itself)."""
        ...

    def snapshot(self, ids: Sequence[int] | None = None) -> Snapshot:
        """Raises `UserError` with the reason when `restorable` is not empty."""
        ...

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        """Put rows of a snapshot into the environments `ids`; returns all observations (N, *obs).
        The same actions then give the same future, bit for bit. Raises `UserError` when that
        cannot be had; the environments `ids` then have to be reset."""
        ...

    def close(self) -> None: ...
