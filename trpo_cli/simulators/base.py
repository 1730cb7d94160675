"""The batched simulator protocol: N environments stepped together.

Everything above this package sees only `Simulator`. Autoreset happens in the same step: an ended
episode's next first observation is in `Step.observations`, and what the ended episode last saw is
in `Step.final_observations`. There is never a filler row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
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
    lives_lost: (N,) bool, a life was lost and the episode goes on: learning may treat it as an
        end. None from backends without lives.

    The arrays may be reused by the next call: copy what must outlive it.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ended: np.ndarray
    final_observations: np.ndarray
    lives_lost: np.ndarray | None = None


@dataclass(frozen=True)
class Snapshot:
    """The complete state of some environments: whatever decides their future.

    `arrays` hold one row per environment (physics state, elapsed steps, ...); `items` one
    JSON-able object per environment (the state of its random generator, ...).
    """

    arrays: dict[str, np.ndarray]
    items: list[Any]

    def rows(self, numbers: Sequence[int] | np.ndarray) -> Snapshot:
        """Some of the environments, in any order and as often as wanted."""
        chosen = np.asarray(numbers, dtype=np.int64)
        arrays = {name: array[chosen] for name, array in self.arrays.items()}
        return Snapshot(arrays, [self.items[k] for k in chosen.tolist()])


def together(snapshots: Sequence[Snapshot]) -> Snapshot:
    """One snapshot of all the environments of several; arrays of unequal lengths end in zeros."""
    arrays = {}
    for name in snapshots[0].arrays:
        parts = [snapshot.arrays[name] for snapshot in snapshots]
        widths = [part.shape[1] for part in parts if part.ndim > 1]
        if len(set(widths)) > 1:
            parts = [
                np.pad(
                    part, [(0, 0), (0, max(widths) - part.shape[1])] + [(0, 0)] * (part.ndim - 2)
                )
                for part in parts
            ]
        arrays[name] = np.concatenate(parts)
    return Snapshot(arrays, [item for snapshot in snapshots for item in snapshot.items])


def as_ids(
    ids: Sequence[int] | None, num_envs: int, snapshot: Snapshot | None = None
) -> np.ndarray:
    """Environment indices (E,) int32, all of them for None; raises `ValueError` for wrong ones.

    snapshot: what is to be restored into these environments; it must be of as many.
    """
    chosen = np.arange(num_envs) if ids is None else np.asarray(ids, dtype=np.int64).reshape(-1)
    if len(np.unique(chosen)) < len(chosen) or np.any((chosen < 0) | (chosen >= num_envs)):
        raise ValueError(f"ids must be different indices below {num_envs}, got {chosen.tolist()}")
    if snapshot is not None and len(snapshot.items) != len(chosen):
        raise ValueError(
            f"a snapshot of {len(snapshot.items)} environments cannot be restored into "
            f"{len(chosen)}"
        )
    return chosen.astype(np.int32)


def shows_images(space: spaces.Box) -> bool:
    """Whether observations are images: bytes in three dimensions."""
    return space.dtype == np.uint8 and len(space.shape) == 3


class Simulator(Protocol):
    """N environments of one kind."""

    num_envs: int
    observation_space: spaces.Box
    action_space: spaces.Space[Any]
    max_episode_steps: int | None
    backend: str
    """'mujoco', 'warp', 'atari', 'linear' or 'gymnasium', for the start banner."""
    frame_stack: int
    """How many frames an observation stacks, the newest last; 1 where it is no such stack."""
    remarks: Sequence[str]
    """What a person should know of these environments, for the start banner: a sentence each."""

    @property
    def failed_simulations(self) -> int:
        """Episodes so far that were ended because the simulation became unstable or raised."""
        ...

    @property
    def action_start(self) -> int | np.ndarray:
        """What the environment's own Discrete and MultiDiscrete actions count from; here from 0."""
        ...

    @property
    def why_not_restorable(self) -> str:
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

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        """Advance the environments `ids` (ascending indices; all when None) by one control step;
        actions (N, *act) as the environment takes them (no clipping here beyond what the
        environment does itself). The others stand still: their rows of the `Step` say nothing.
        """
        ...

    @property
    def why_not_branchable(self) -> str:
        """Empty when snapshots that are not portable are exact; otherwise why they are not."""
        ...

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        """The complete state of the environments `ids`.

        portable: for a file, and so for another process. One that is not may hold live objects;
            it can be had quickly at any moment of an episode, to branch off there.
        Raises `UserError` with the reason when `why_not_restorable` (`why_not_branchable`) is not
        empty.
        """
        ...

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        """Give environments another future: put their generators into states of their own, the
        same for the same seed. Nothing else changes."""
        ...

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        """Put the rows of a snapshot, of this simulator or another one of its kind, into the
        environments `ids`; returns all observations (N, *obs). The same actions then give the
        same future, bit for bit. Raises `UserError` when that cannot be had; the environments
        `ids` then have to be reset."""
        ...

    def close(self) -> None: ...
