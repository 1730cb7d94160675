"""An environment that draws itself without a library, and pays what its drawing shows."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 6
HERTZ = 10


class DrawnEnv(gymnasium.Env[Any, Any]):
    """Pays a drawn number, plus the action, for `LENGTH` steps; its image's height is that of the
    brightness 10 x steps, all over.

    moody: what it pays depends on how many episodes the process has seen, which no seed decides.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": HERTZ}  # noqa: RUF012
    observation_space = spaces.Box(-1.0, 1.0, (2,))
    action_space = spaces.Discrete(2)
    episodes = 0

    def __init__(self, render_mode: str | None = None, moody: bool = False) -> None:
        self.render_mode, self._moody = render_mode, moody

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        DrawnEnv.episodes += 1
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        reward = float(self.np_random.random()) + float(action)
        reward += DrawnEnv.episodes if self._moody else 0
        return self._observation(), reward, self._steps == LENGTH, False, {}

    def render(self) -> Any:
        return np.full((41, 33, 3), 10 * self._steps, dtype=np.uint8)

    def _observation(self) -> np.ndarray:
        return self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)


class BlindEnv(DrawnEnv):
    metadata = {"render_modes": []}  # noqa: RUF012


for name, kind, arguments in (
    ("Drawn-v0", "DrawnEnv", {}),
    ("Moody-v0", "DrawnEnv", {"moody": True}),
    ("Blind-v0", "BlindEnv", {}),
):
    gymnasium.register(name, f"{__name__}:{kind}", kwargs=arguments)
