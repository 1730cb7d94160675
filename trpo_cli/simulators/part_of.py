"""``trpo_cli.simulators.part_of:PartOf``: a wrapper that hides some of what an environment shows.

    env.wrappers=[{trpo_cli.simulators.part_of:PartOf: {numbers: [0, 1]}}]

What is hidden is usually how fast things move, which a policy that remembers can infer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class PartOf(gymnasium.ObservationWrapper[np.ndarray, Any, np.ndarray]):
    """numbers: which of an observation's numbers are shown, from 0, in this order.

    Raises ValueError where there are no such numbers, and TypeError for observations that are no
    vectors.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, Any], numbers: Sequence[int]) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise TypeError(f"PartOf is for vectors of numbers, and observations are {space}")
        chosen, there = [int(number) for number in numbers], space.shape[0]
        bad = [number for number in chosen if not 0 <= number < there]
        if bad or not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"numbers={list(numbers)} have to be distinct ones from 0 to {there - 1}"
            )
        self._chosen = np.array(chosen)
        dtype: Any = space.dtype
        self.observation_space = spaces.Box(space.low[chosen], space.high[chosen], dtype=dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[self._chosen]
