"""Small environments with unusual spaces and habits, registered under Odd/."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

BOX = spaces.Box(-10.0, 10.0, (2,), np.float64)


class Odd(gymnasium.Env[Any, Any]):
    """Observes (steps, what the action was worth); the worth of an action is its sum."""

    def __init__(
        self,
        actions: Any = None,
        observations: Any = BOX,
        ends: int = 4,
        truncates: int = 100,
        fails: int = -1,
        broken: bool = False,
    ) -> None:
        if broken:
            raise RuntimeError("the controller\nis not plugged in")
        self.action_space = spaces.Discrete(3) if actions is None else actions
        self.observation_space = observations
        self._ends, self._truncates, self._fails = ends, truncates, fails

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._time = 0
        return np.array([0.0, self.np_random.random()]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self._time += 1
        if self._time == self._fails:
            raise RuntimeError("out of batteries")
        worth = float(np.sum(action))
        observation = np.array([float(self._time), worth])
        return observation, worth, self._time >= self._ends, self._time >= self._truncates, {}


class Pixels(gymnasium.Env[Any, Any]):
    """uint8 observations; one of a wrong shape when told so."""

    def __init__(self, size: int = 3) -> None:
        self.observation_space = spaces.Box(0, 255, (3, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._size = size

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.full((3, 3), 7, np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        action[:] = 0  # its own to change
        return np.full((self._size, 3), 200, np.uint8), 1.0, False, False, {}


gymnasium.register("Odd/Odd-v0", entry_point="tests.support.odd_envs:Odd", max_episode_steps=50)
gymnasium.register("Odd/Pixels-v0", entry_point="tests.support.odd_envs:Pixels")
gymnasium.register(
    "Odd/Hopper-v0",
    entry_point="gymnasium.envs.mujoco.hopper_v4:HopperEnv",
    max_episode_steps=20,
    kwargs={"ctrl_cost_weight": 0.5},
)
gymnasium.register(
    "Odd/Discrete-v0",
    entry_point="tests.support.odd_envs:Odd",
    kwargs={"observations": spaces.Discrete(5)},
)
gymnasium.register(  # its space is that of a camera; nobody steps it
    "Odd/Image-v0",
    entry_point="tests.support.odd_envs:Odd",
    kwargs={"observations": spaces.Box(0, 255, (84, 84, 3), np.uint8)},
)
