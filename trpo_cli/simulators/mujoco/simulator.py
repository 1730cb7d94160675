"""N MuJoCo environments of Gymnasium's family, stepped together, bit for bit as Gymnasium's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding

from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.mujoco.physics import Physics
from trpo_cli.simulators.mujoco.tasks import Entry


class MujocoSimulator:
    """The `Simulator` protocol on batched MuJoCo.

    template: one environment of the task, as Gymnasium's constructor leaves it (unwrapped). Its
        model and its constants are read here, and none of its state.
    entry: the task's vectorised form, v5: which of the two versions of the task it is.

    A simulation that becomes unstable, or in which MuJoCo raises, ends its episode: terminated,
    reward 0, and its last good observation as the final one; `failed_simulations` counts them.
    (Gymnasium would go on from MuJoCo's silent reset to the model's start, with whatever reward
    that jump gives.) Results do not depend on `threads`.
    """

    backend = "mujoco"
    frame_stack = 1
    why_not_restorable = why_not_branchable = ""
    remarks: Sequence[str] = ()

    def __init__(
        self,
        template: Any,
        entry: Entry,
        v5: bool,
        num_envs: int,
        threads: int,
        max_episode_steps: int | None,
    ) -> None:
        self.num_envs = num_envs
        self.observation_space: spaces.Box = template.observation_space
        self.action_space: spaces.Space[Any] = template.action_space
        self.max_episode_steps = max_episode_steps
        self.failed_simulations = 0
        contact_forces = entry.contact_forces(template, v5)
        self._physics = Physics(
            template.model, num_envs, threads, template.frame_skip, contact_forces
        )
        self._task = entry.build(template, self._physics, v5)
        self._generators = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self._limit = np.iinfo(np.int64).max if max_episode_steps is None else max_episode_steps
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        shape = (num_envs, *self.observation_space.shape)
        # Two of each: what was before the step must outlive it.
        self._observations, self._previous = np.zeros(shape), np.zeros(shape)
        self._after, self._before = np.zeros(num_envs), np.zeros(num_envs)
        self._scratch_observations, self._scratch = np.zeros(shape), np.zeros(num_envs)
        self._rewards = np.zeros(num_envs)
        self._terminated = np.zeros(num_envs, dtype=bool)
        self._truncated = np.zeros(num_envs, dtype=bool)
        self._ended = np.zeros(num_envs, dtype=bool)
        self._none_ended = np.zeros(0, dtype=np.int64)
        self._no_observations = np.zeros((0, *self.observation_space.shape))

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs)
        if seed is not None:
            self.reseed(chosen.tolist(), seed)
        self._restart(np.sort(chosen))
        return self._observations

    def _restart(self, ids: np.ndarray) -> None:
        """Start new episodes in `ids` (ascending) with the generators as they are."""
        starts = np.empty((len(ids), self._physics.coordinates.shape[1]))
        for row, i in zip(starts, ids.tolist(), strict=True):
            row[:] = self._task.draw(self._generators[i])
        self._physics.restart(ids, starts)
        self._elapsed[ids] = 0
        # Everything is observed once more, which costs less than picking rows out of every
        # field; only the rows of new episodes are kept.
        self._task.observe(self._scratch_observations)
        self._observations[ids] = self._scratch_observations[ids]
        self._task.progress(self._scratch)
        self._after[ids] = self._scratch[ids]

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        task = self._task
        actions = np.ascontiguousarray(actions)
        if actions.shape != self._physics.ctrl.shape:
            raise ValueError(f"actions {actions.shape}, expected {self._physics.ctrl.shape}")
        self._observations, self._previous = self._previous, self._observations
        self._after, self._before = self._before, self._after
        observations, rewards, terminated = self._observations, self._rewards, self._terminated
        self._physics.ctrl[:] = actions
        failed = self._physics.step(ids)
        task.observe(observations)
        task.progress(self._after)
        terminated[:] = False
        task.score(actions, self._before, self._after, rewards, terminated)
        if failed is not None:
            self.failed_simulations += len(failed)
            observations[failed] = self._previous[failed]
            rewards[failed] = 0.0
            terminated[failed] = True
        elapsed, truncated, ended = self._elapsed, self._truncated, self._ended
        if ids is None:
            elapsed += 1
        else:
            self._keep_still(ids)
            elapsed[ids] += 1
        np.greater_equal(elapsed, self._limit, out=truncated)
        np.logical_or(terminated, truncated, out=ended)
        if not ended.any():
            none = self._none_ended
            return Step(observations, rewards, terminated, truncated, none, self._no_observations)
        np.greater(truncated, terminated, out=truncated)  # terminated wins
        rows = np.flatnonzero(ended)
        final_observations = observations[rows]
        self._restart(rows.astype(np.int32))
        return Step(observations, rewards, terminated, truncated, rows, final_observations)

    def _keep_still(self, ids: np.ndarray) -> None:
        """Undo what was computed for the simulations that did not move: their derived fields
        may be those of a time before a `restore`."""
        still = np.ones(self.num_envs, dtype=bool)
        still[ids] = False
        self._observations[still] = self._previous[still]
        self._after[still] = self._before[still]
        self._terminated[still] = False
        self._rewards[still] = 0.0

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        chosen = as_ids(ids, self.num_envs)
        arrays = {
            "state": self._physics.get_state(chosen),
            "elapsed": self._elapsed[chosen],
            "observations": self._observations[chosen],
            "progress": self._after[chosen],
        }
        return Snapshot(arrays, [self._generators[i].bit_generator.state for i in chosen])

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs, snapshot)
        arrays = snapshot.arrays
        self._physics.set_state(chosen, arrays["state"])
        self._elapsed[chosen] = arrays["elapsed"]
        self._observations[chosen] = arrays["observations"]
        self._after[chosen] = arrays["progress"]
        for i, state in zip(chosen, snapshot.items, strict=True):
            self._generators[i].bit_generator.state = state
        return self._observations

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        for i, seed in zip(ids, seeds, strict=True):
            self._generators[i] = seeding.np_random(int(seed))[0]

    def close(self) -> None:
        """Nothing is held open."""
