"""Wrappers of somebody else's, some of which carry a state from one episode to the next."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Noise(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Noise from a generator of its own, which no seed of Gymnasium's reaches."""

    def __init__(self, env: Any, scale: float = 0.1) -> None:
        super().__init__(env)
        self._scale, self._generator = scale, np.random.default_rng()

    def observation(self, observation: Any) -> Any:
        noise = self._scale * self._generator.standard_normal(np.shape(observation))
        return (observation + noise).astype(observation.dtype)


class OldNoise(Noise):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._generator: Any = np.random.RandomState()


class Fading(gymnasium.RewardWrapper[Any, Any]):
    """Rewards that depend on how many episodes there have been."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._episodes = 0

    def reset(self, **kwargs: Any) -> Any:
        self._episodes += 1
        return super().reset(**kwargs)

    def reward(self, reward: Any) -> float:
        return float(reward) / self._episodes


class Unsayable(Noise):
    """Its noise comes from where nothing can be saved."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        generator = np.random.default_rng()
        self._generator: Any = None
        self._draw = lambda: generator.standard_normal()

    def observation(self, observation: Any) -> Any:
        return (observation + self._draw()).astype(observation.dtype)


class Vector(gymnasium.vector.VectorWrapper):
    pass


def unwrapped(env: Any) -> Any:
    return env.unwrapped


def nothing(env: Any) -> None:
    return None


NUMBER = 3


class Parts(gymnasium.Env[Any, Any]):
    """Observes a Dict of a Box, a Discrete and a Tuple; ends after some steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, image: bool = False, text: bool = False) -> None:
        parts: dict[str, spaces.Space[Any]] = {
            "place": spaces.Box(-9.0, 9.0, (2,), np.float64),
            "mode": spaces.Discrete(3),
            "rest": spaces.Tuple([spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3])]),
        }
        if image:
            parts["view"] = spaces.Box(0, 255, (8, 8, 3), np.uint8)
        if text:
            parts["rest"] = spaces.Tuple([spaces.Text(5)])
        self.observation_space = spaces.Dict(parts)

    def _seen(self) -> Any:
        flags, kinds = np.array([1, 0], np.int8), np.array([1, 2])
        place = self.np_random.normal(size=2).clip(-9, 9)
        return {"place": place, "mode": self._time % 3, "rest": (flags, kinds)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._time = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._time += 1
        return self._seen(), float(action), self._time >= 12, False, {}


gymnasium.register("Wraps/Parts-v0", entry_point=f"{__name__}:Parts")
