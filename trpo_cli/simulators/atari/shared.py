"""What the simulator's process and its workers share: the settings of a game, and the arrays.

Light on purpose: workers import it, and they start quickly because they load neither torch nor
Gymnasium.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trpo_cli.simulators.workers import memory
from trpo_cli.simulators.workers.memory import Field


@dataclass(frozen=True)
class GameSettings:
    """One kind of Atari environment with nothing left to decide.

    path: of the game's file. skip: the smallest and the largest number of frames that a step
    takes, both inclusive. max_frames: of an episode, 0 for no limit. max_steps: likewise, None
    for no limit.
    """

    rom: str
    path: str
    mode: int | None
    difficulty: int | None
    skip: tuple[int, int]
    max_pool: bool
    height: int
    width: int
    stack: int
    noop_max: int
    fire_reset: bool
    life_loss_terminal: bool
    sticky: float
    full_actions: bool
    max_frames: int
    max_steps: int | None

    @property
    def step_limit(self) -> int | None:
        """No episode has more steps than this."""
        limits = [] if self.max_steps is None else [self.max_steps]
        if self.max_frames:
            limits.append(-(-self.max_frames // self.skip[0]))
        return min(limits, default=None)


@dataclass(frozen=True)
class Arrays:
    """What a step of N environments takes and gives, in memory that all processes see.

    observations, final_observations: (N, S, H, W) uint8; the latter only where an episode ended.
    actions: (N,) int64. moving: (N,) bool, which of them are to be stepped. rewards: (N,)
    float64. terminated, truncated, lives_lost: (N,) bool.
    """

    observations: np.ndarray
    final_observations: np.ndarray
    actions: np.ndarray
    moving: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    lives_lost: np.ndarray


def _fields(num_envs: int, settings: GameSettings) -> list[Field]:
    frames = (num_envs, settings.stack, settings.height, settings.width)
    return [
        ("observations", frames, np.uint8),
        ("final_observations", frames, np.uint8),
        ("actions", (num_envs,), np.int64),
        ("rewards", (num_envs,), np.float64),
        *(
            (name, (num_envs,), np.bool_)
            for name in ("moving", "terminated", "truncated", "lives_lost")
        ),
    ]


def anonymous_file(num_envs: int, settings: GameSettings) -> int:
    """A file descriptor for `Arrays`."""
    return memory.anonymous_file(_fields(num_envs, settings))


def map_arrays(fd: int, num_envs: int, settings: GameSettings) -> Arrays:
    """The arrays in the file `fd`, which may be closed afterwards."""
    return Arrays(**memory.map_arrays(fd, _fields(num_envs, settings)))
