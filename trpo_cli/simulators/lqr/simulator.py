"""N copies of `trpo_cli/LQR-v0` stepped by one product, bit for bit as Gymnasium's path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding

from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.lqr.environment import LQREnv


class LinearSimulator:
    """The `Simulator` protocol on `lqr.environment.Dynamics`.

    template: one environment, whose system and spaces are read and none of its state.
    """

    backend = "linear"
    frame_stack = 1
    action_start = 0
    failed_simulations = 0
    why_not_restorable = why_not_branchable = ""
    remarks: Sequence[str] = ()

    def __init__(self, template: LQREnv, num_envs: int, max_episode_steps: int | None) -> None:
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        assert isinstance(template.observation_space, spaces.Box)
        self.observation_space: spaces.Box = template.observation_space
        self.action_space: spaces.Space[Any] = template.action_space
        self._dynamics = template.dynamics
        self._generators = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self._limit = np.iinfo(np.int64).max if max_episode_steps is None else max_episode_steps
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._states = np.zeros((num_envs, *self.observation_space.shape))

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs).tolist()
        if seed is not None:
            self.reseed(chosen, seed)
        self._begin(chosen)
        return self._states

    def _begin(self, ids: list[int]) -> None:
        for i in ids:
            self._states[i] = self._dynamics.begin(self._generators[i])
        self._elapsed[ids] = 0

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        rows = slice(None) if ids is None else ids
        generators = self._generators if ids is None else [self._generators[i] for i in ids]
        taken = np.asarray(actions, dtype=np.float64)[rows]
        after, paid = self._dynamics.step(self._states[rows], taken, generators)
        # What the caller was given of the last step must not change under it.
        self._states = self._states.copy()
        self._states[rows] = after
        rewards = np.zeros(self.num_envs)
        rewards[rows] = paid
        self._elapsed[rows] += 1
        truncated = self._elapsed >= self._limit
        ended = np.flatnonzero(truncated)
        final_observations = self._states[ended]
        self._begin(ended.tolist())
        terminated = np.zeros(self.num_envs, dtype=bool)
        return Step(self._states, rewards, terminated, truncated, ended, final_observations)

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        chosen = as_ids(ids, self.num_envs).tolist()
        arrays = {"states": self._states[chosen], "elapsed": self._elapsed[chosen]}
        return Snapshot(arrays, [self._generators[i].bit_generator.state for i in chosen])

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs, snapshot).tolist()
        self._states[chosen] = snapshot.arrays["states"]
        self._elapsed[chosen] = snapshot.arrays["elapsed"]
        for i, state in zip(chosen, snapshot.items, strict=True):
            self._generators[i].bit_generator.state = state
        return self._states

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        for i, seed in zip(ids, seeds, strict=True):
            self._generators[i] = seeding.np_random(int(seed))[0]

    def close(self) -> None:
        """Nothing is held open."""
