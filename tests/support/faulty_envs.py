"""An environment that fails at a step of its choice, registered as Faulty/Faulty-v0."""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

REPAIRED = False


class Faulty(gymnasium.Env[Any, Any]):
    """Observes its clock and noise; episodes take 10 steps.

    kind: what goes wrong: observation, final, reward, huge (a reward beyond 32 bits), raise,
        reset, leave (sys.exit), vanish (an error that is no Exception), move (to another working
        directory). at: the step, over all episodes of an environment, at which it does. process: of
        several that train together, the only one in which it does.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(
        self, kind: str = "", at: int = 0, discrete: bool = False, process: int | None = None
    ) -> None:
        if process is not None and os.environ.get("RANK") != str(process):
            kind = ""
        self.action_space = spaces.Discrete(2) if discrete else spaces.Box(-1.0, 1.0, (2,))
        self._kind, self._at, self._steps, self._time = kind, at, 0, 0

    def _observation(self) -> np.ndarray:
        return np.array([self._time, *self.np_random.normal(size=2)], dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._time = 0
        if self._kind == "reset" and self._steps >= self._at:
            raise RuntimeError("the door\nis locked")
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._time += 1
        now = self._steps == self._at and not REPAIRED
        if now and self._kind == "raise":
            raise RuntimeError("out of\nbatteries.")
        if now and self._kind == "leave":
            sys.exit(0)
        if now and self._kind == "vanish":
            raise GeneratorExit("without a trace")
        if now and self._kind == "move":
            os.chdir(os.sep)
        observation, reward, over = self._observation(), 1.0, self._time == 10
        if self._kind == "final":
            now = over = self._steps == self._at
        if now and self._kind in ("observation", "final"):
            observation[2] = np.nan
        if now and self._kind in ("reward", "huge"):
            reward = np.inf if self._kind == "reward" else 1e39
        return observation, reward, over, False, {}


if "Faulty/Faulty-v0" not in gymnasium.registry:
    gymnasium.register("Faulty/Faulty-v0", "tests.support.faulty_envs:Faulty")
