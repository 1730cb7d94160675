"""Vector environments that reset ended environments in each of Gymnasium's ways, or badly."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

LIMIT = 6


def space(size: int = 2) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,))


class Drift(gymnasium.Env[Any, Any]):
    """What a `Drifts` has many of; only its spaces are read."""

    def __init__(self, **kwargs: Any) -> None:
        self.observation_space, self.action_space = space(), spaces.Discrete(2, start=1)


class Drifts(VectorEnv[Any, Any, Any]):
    """A place that moves by the action, 1 or 2, and by noise; an episode ends beyond 9, or after
    some steps. It shows place and time.

    mode: one of `AutoresetMode`. hidden: the times are where nobody finds them. fails: the step
    that raises. size: numbers in an observation.
    """

    def __init__(
        self,
        num_envs: int = 1,
        mode: str = "NEXT_STEP",
        hidden: bool = False,
        fails: int = 0,
        size: int = 2,
        max_episode_steps: int = LIMIT,
    ) -> None:
        self.num_envs, self.hidden, self.fails, self.limit = (
            num_envs,
            hidden,
            fails,
            max_episode_steps,
        )
        self.mode, self.steps = AutoresetMode[mode], 0
        self.metadata = {"autoreset_mode": self.mode}
        self.single_observation_space, self.single_action_space = (
            space(size),
            spaces.Discrete(2, start=1),
        )
        self.ended = np.zeros(num_envs, bool)
        self.place = np.zeros((1, num_envs))
        self.times: Any = np.zeros(num_envs)

    def _begin(self, which: np.ndarray) -> None:
        times = np.array(self.times)
        self.place[0, which] = self.np_random.uniform(0, 1, which.sum())
        times[which], self.ended[which] = 0, False
        self.times = list(times) if self.hidden else times

    def _seen(self) -> np.ndarray:
        shown = np.stack([self.place[0], np.array(self.times)], axis=1)
        return np.tile(shown, self.single_observation_space.shape[0] // 2)  # type: ignore[index]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._begin(np.ones(self.num_envs, bool))
        return self._seen(), {}

    def step(self, actions: np.ndarray) -> Any:
        assert set(actions.tolist()) <= {1, 2}
        self.steps += 1
        if self.steps == self.fails:
            raise RuntimeError("out of batteries")
        late = self.ended.copy() if self.mode == AutoresetMode.NEXT_STEP else self.ended & False
        self.place[0] += actions + 0.1 * self.np_random.normal(size=self.num_envs)
        times = np.array(self.times) + 1
        self.times = list(times) if self.hidden else times
        terminated, truncated = self.place[0] > 9, times >= self.limit
        rewards, infos = self.place[0].copy(), dict[str, Any]()
        if late.any():
            self._begin(late)
            rewards[late], terminated[late], truncated[late] = 0, False, False
        self.ended = terminated | truncated
        if self.mode == AutoresetMode.SAME_STEP and self.ended.any():
            infos["final_obs"] = np.array(
                [row if over else None for row, over in zip(self._seen(), self.ended, strict=True)],
                dtype=object,
            )
            self._begin(self.ended.copy())
        return self._seen(), rewards, terminated, truncated, infos


register: Any = gymnasium.register
register("Vector/Drift-v0", Drift, vector_entry_point=Drifts, max_episode_steps=LIMIT)
