"""``trpo_cli/Recall-v0``: a task that cannot be solved without memory.

    observation    (cue, ask): in the first step a cue of -1 or 1, then 0; ask is 1 in the last step
    action         0 or 1
    reward         in the last step 1 for the side of the cue (1 for cue 1, 0 for -1) and -1 for
                   the other; 0 before

An episode has `delay` steps between its first and its last one. Whoever forgets the cue earns 0 on
average, whatever they do. Importing this module registers it; elsewhere write
``env=trpo_cli.simulators.recall:trpo_cli/Recall-v0``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ID = "trpo_cli/Recall-v0"
DELAY = 8


class RecallEnv(gymnasium.Env[np.ndarray, np.int64]):
    """delay: steps between the one that shows the cue and the one that asks for it."""

    def __init__(self, delay: int = DELAY) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.delay = delay
        self._cue, self._time = 0, 0

    def _observation(self) -> np.ndarray:
        cue = self._cue if self._time == 0 else 0
        return np.array([cue, self._time == self.delay + 1], dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._cue, self._time = 2 * int(self.np_random.integers(2)) - 1, 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        over = self._time == self.delay + 1
        reward = (1.0 if int(action) == (self._cue + 1) // 2 else -1.0) if over else 0.0
        self._time += 1
        return self._observation(), reward, over, False, {}


if ID not in gymnasium.registry:
    gymnasium.register(ID, "trpo_cli.simulators.recall:RecallEnv")
