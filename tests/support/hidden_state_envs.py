"""Environments that a replay does or does not bring back, registered under Hidden/."""

from __future__ import annotations

import random
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

GENERATOR = np.random.default_rng(0)
MINUTE = 0


class Walk(gymnasium.Env[Any, Any]):
    """A walk that ends at +-3: noise from np_random in every step, on top of the action."""

    def __init__(self, actions: Any = None, bit_generator: str = "PCG64") -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32) if actions is None else actions
        self._bit_generator = bit_generator
        self.prepare()

    def prepare(self) -> None:
        """When it is constructed."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None and self._bit_generator != "PCG64":
            kind = getattr(np.random, self._bit_generator)
            self.np_random = np.random.Generator(kind(seed))
        self.start(seed)
        self._place = self.np_random.normal(0.0, 0.3)
        return np.array([self._place]), {}

    def start(self, seed: int | None) -> None:
        """At every reset."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert np.asarray(action).dtype == self.action_space.dtype
        push = float(np.asarray(action, np.float64).mean()) + self.noise()
        self._place += push
        if isinstance(action, np.ndarray):
            action[...] = 0  # its own to change
        return np.array([self._place]), push, abs(self._place) > 3.0, False, {}

    def noise(self) -> float:
        return self.np_random.normal()


class Layout(Walk):
    """Draws a slope when it is seeded, which later episodes keep."""

    def start(self, seed: int | None) -> None:
        if seed is not None:
            self._slope = self.np_random.normal()

    def noise(self) -> float:
        return self._slope + self.np_random.normal()


class Curriculum(Walk):
    """Counts its episodes, and changes after the hundredth."""

    def prepare(self) -> None:
        self._episodes = 0

    def start(self, seed: int | None) -> None:
        self._episodes += 1

    def noise(self) -> float:
        return self.np_random.normal() * (1.0 if self._episodes < 100 else 2.0)


class ClassCounter(Walk):
    episodes = 0

    def start(self, seed: int | None) -> None:
        ClassCounter.episodes += 1


class GlobalNumpy(Walk):
    def noise(self) -> float:
        return np.random.normal()


class GlobalPython(Walk):
    def start(self, seed: int | None) -> None:
        self._wind = random.gauss(0.0, 1.0)  # never used


class SeedsGlobal(Walk):
    """Looks reproducible as long as it is alone."""

    def start(self, seed: int | None) -> None:
        np.random.seed(int(self.np_random.integers(1000)))

    def noise(self) -> float:
        return np.random.normal()


class ModuleGenerator(Walk):
    def noise(self) -> float:
        return GENERATOR.normal()


class Clock(Walk):
    def noise(self) -> float:
        return time.time() % 1.0


class Deadline(Walk):
    """Ends when a minute is over: too late for anyone to see."""

    def start(self, seed: int | None) -> None:
        self._until = time.time() + 60.0

    def noise(self) -> float:
        return 0.0 if time.time() < self._until else 10.0


class OwnGenerator(Walk):
    """Ignores np_random; the same numbers in every new instance."""

    def prepare(self) -> None:
        self._own = np.random.default_rng(5)

    def noise(self) -> float:
        return self._own.normal()


class UnseenGenerator(OwnGenerator):
    """Draws from its own generator with no effect yet."""

    def noise(self) -> float:
        return 0.0 * self._own.normal()


class Sampled(Walk):
    """Draws from its space, whose generator no seed reaches."""

    def start(self, seed: int | None) -> None:
        self._goal = self.action_space.sample()


class OldGenerator(Walk):
    def noise(self) -> float:
        return self._random.normal()

    def start(self, seed: int | None) -> None:
        if seed is not None:
            self._random = np.random.RandomState(seed)


class Broken(Walk):
    def noise(self) -> float:
        raise RuntimeError("out of\nbatteries")


class Turncoat(Walk):
    """As it should be until `MINUTE` is set: nothing that a probe could have seen."""

    def noise(self) -> float:
        return self.np_random.normal() + MINUTE


_KINDS: list[type[Walk]] = [Walk, *Walk.__subclasses__(), UnseenGenerator]
for _kind in _KINDS:
    gymnasium.register(
        f"Hidden/{_kind.__name__}-v0",
        entry_point=f"{__name__}:{_kind.__name__}",
        max_episode_steps=25,
    )
