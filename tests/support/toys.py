"""Contextual bandits with known best actions, registered under Toy/, one per action space."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

SPACES: dict[str, spaces.Space[Any]] = {
    "Toy/Box-v0": spaces.Box(-1.0, 1.0, (1,)),
    "Toy/Discrete-v0": spaces.Discrete(3, start=5),
    "Toy/MultiDiscrete-v0": spaces.MultiDiscrete([2, 3]),
    "Toy/MultiBinary-v0": spaces.MultiBinary(2),
}
CONTEXTS = np.array([[-1.0], [1.0]], dtype=np.float32)


def best_action(space: spaces.Space[Any], context: float) -> Any:
    """What is worth 0 in a Box and 1 in the other spaces."""
    right = context > 0
    if isinstance(space, spaces.Box):
        return np.array([0.5 * context])
    if isinstance(space, spaces.Discrete):
        return space.start + (2 if right else 0)
    if isinstance(space, spaces.MultiDiscrete):
        return np.array([1, 2]) if right else np.array([0, 0])
    return np.array([1, 0]) if right else np.array([0, 1])


class Toy(gymnasium.Env[Any, Any]):
    """Observes a random sign; pays for the action that belongs to it. Ends after `length` steps."""

    taken: ClassVar[list[Any]] = []

    def __init__(self, space: spaces.Space[Any], length: int = 1) -> None:
        self.action_space, self._length = space, length
        self.observation_space = spaces.Box(-1.0, 1.0, (1,))

    def _context(self) -> np.ndarray:
        self._sign = float(self.np_random.choice([-1.0, 1.0]))
        return np.array([self._sign], dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._time = 0
        return self._context(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Toy.taken.append(action)
        self._time += 1
        best = best_action(self.action_space, self._sign)
        if isinstance(self.action_space, spaces.Box):
            reward = -float(np.sum((action - best) ** 2))
        else:
            assert self.action_space.contains(action), action
            reward = float(np.mean(action == best))
        return self._context(), reward, self._time >= self._length, False, {}


class Camera(gymnasium.Env[Any, Any]):
    """Shows a colour image that is bright on the left or on the right; pays 1 for the action of
    that side. Every episode takes `length` steps, and its last image counts as any other."""

    observation_space = spaces.Box(0, 255, (20, 24, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 5) -> None:
        self._length = length

    def _image(self) -> np.ndarray:
        self._side = int(self.np_random.integers(2))
        image = self.np_random.integers(0, 60, (20, 24, 3), dtype=np.uint8)
        image[:, 12 * self._side : 12 * (self._side + 1), 1] += 180  # green
        return image

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._time = 0
        return self._image(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._time += 1
        reward = float(action == self._side)
        return self._image(), reward, self._time >= self._length, False, {}


class Telescope(gymnasium.Env[Any, Any]):
    """Shows dark images; pays for pointing at 1/2. Its images are large enough for any network."""

    observation_space = spaces.Box(0, 255, (40, 40, 3), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.integers(0, 60, (40, 40, 3), dtype=np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        image = self.np_random.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        return image, -float(abs(action[0] - 0.5)), bool(self.np_random.random() < 0.2), False, {}


for _name in ("Camera", "Telescope"):
    if f"Toy/{_name}-v0" not in gymnasium.registry:
        gymnasium.register(f"Toy/{_name}-v0", f"tests.support.toys:{_name}")
for _id, _space in SPACES.items():
    if _id not in gymnasium.registry:
        gymnasium.register(_id, "tests.support.toys:Toy", kwargs={"space": _space})
