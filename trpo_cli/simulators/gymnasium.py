"""N environments of any registered kind through Gymnasium, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from trpo_cli.errors import RunFailed, UserError
from trpo_cli.simulators.base import Snapshot, Step


class GymnasiumSimulator:
    """The `Simulator` protocol over a list of Gymnasium environments.

    The observations are stored in the dtype of the environment's Box. Discrete actions count from
    0 here, whatever the environment's own `start` is: `action_space` says so too.
    """

    backend = "gymnasium"
    restorable = "Gymnasium has no way to copy the complete state of an environment"
    failed_simulations = 0

    def __init__(
        self,
        envs: Sequence[gymnasium.Env[Any, Any]],
        env_id: str,
        max_episode_steps: int | None,
    ) -> None:
        self.num_envs = len(envs)
        self._envs = list(envs)
        self._id = env_id
        space = envs[0].observation_space
        assert isinstance(space, spaces.Box)
        self.observation_space: spaces.Box = space
        self.action_space, self._convert = _actions(envs[0].action_space)
        self.max_episode_steps = max_episode_steps
        self._observations = np.zeros((self.num_envs, *space.shape), dtype=space.dtype)
        self._steps = 0

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = range(self.num_envs) if ids is None else ids
        seeds: Sequence[int | None] = [None] * len(chosen) if seed is None else seed
        for i, value in zip(chosen, seeds, strict=True):
            self._reset(i, None if value is None else int(value))
        return self._observations

    def _reset(self, i: int, seed: int | None) -> None:
        try:
            observation, _ = self._envs[i].reset(seed=seed)
            self._observations[i] = self._shaped(observation)
        except Exception as error:
            raise RunFailed(self._failed(i, "reset", error)) from error

    def step(self, actions: np.ndarray) -> Step:
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, dtype=bool)
        truncated = np.zeros(self.num_envs, dtype=bool)
        self._steps += 1
        for i, env in enumerate(self._envs):
            try:
                result = env.step(self._convert(actions[i]))
                observation, rewards[i], terminated[i], truncated[i], _ = result
                self._observations[i] = self._shaped(observation)
            except Exception as error:
                raise RunFailed(self._failed(i, "step", error)) from error
        truncated &= ~terminated
        ended = np.flatnonzero(terminated | truncated)
        final_observations = self._observations[ended]
        for i in ended.tolist():
            self._reset(i, None)
        return Step(self._observations, rewards, terminated, truncated, ended, final_observations)

    def _shaped(self, observation: Any) -> Any:
        """Refuse what numpy would silently stretch to the observation's shape."""
        if np.shape(observation) != self.observation_space.shape:
            raise ValueError(
                f"the observation has shape {np.shape(observation)}, its space says "
                f"{self.observation_space.shape}"
            )
        return observation

    def _failed(self, i: int, call: str, error: Exception) -> str:
        words = " ".join(str(error).split())
        return (
            f"env={self._id}: environment {i} of {self.num_envs} raised in {call}() at step "
            f"{self._steps} of this simulator: {type(error).__name__}: {words}"
        )

    def snapshot(self, ids: Sequence[int] | None = None) -> Snapshot:
        raise UserError(f"env={self._id} cannot be restored: {self.restorable}.")

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        raise UserError(f"env={self._id} cannot be restored: {self.restorable}.")

    def close(self) -> None:
        for env in self._envs:
            env.close()


def _actions(
    space: spaces.Space[Any],
) -> tuple[spaces.Space[Any], Callable[[np.ndarray], Any]]:
    """The action space that counts from 0, and the map of one action to the environment's own.

    Every environment gets an array of its own, so that it may keep or change it.
    """
    if isinstance(space, spaces.Discrete):
        start = space.start
        return spaces.Discrete(int(space.n)), lambda action: np.int64(action) + start
    if isinstance(space, spaces.MultiDiscrete):
        starts, dtype = space.start, space.dtype
        return (
            spaces.MultiDiscrete(space.nvec),
            lambda action: (np.asarray(action) + starts).astype(dtype),
        )
    if isinstance(space, spaces.MultiBinary):
        return space, lambda action: np.array(action, dtype=np.int8)
    return space, lambda action: np.array(action, dtype=space.dtype)
