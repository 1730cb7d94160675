"""Gymnasium's own wrappers around ale-py's environment: what ours has to equal to the bit."""

from __future__ import annotations

from typing import Any

import ale_py
import gymnasium
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from trpo_cli.config import AtariConfig, EnvConfig
from trpo_cli.simulators.base import Simulator
from trpo_cli.simulators.make import make_simulator

gymnasium.register_envs(ale_py)


def atari(
    env_id: str,
    num_envs: int = 2,
    threads: int = 1,
    limit: int | None = None,
    kwargs: dict[str, Any] | None = None,
    **settings: Any,
) -> Simulator:
    config = EnvConfig(env_id, kwargs or {}, limit, AtariConfig(**settings))
    return make_simulator(config, num_envs, threads)


def wrapped(
    env_id: str,
    num_envs: int = 2,
    frame_skip: int = 4,
    size: tuple[int, int] = (84, 84),
    stack: int = 4,
    noop_max: int = 30,
    **kwargs: Any,
) -> list[Any]:
    """size: (width, height)."""

    def build() -> Any:
        env = gymnasium.make(env_id, **{"frameskip": 1, **kwargs})
        env = AtariPreprocessing(env, noop_max, frame_skip, screen_size=size)
        return FrameStackObservation(env, stack, padding_type="reset")

    return [build() for _ in range(num_envs)]


def can_wait(env_id: str) -> bool:
    """Whether the wrapper can do without acting: its no-op is the first action of the game."""
    base: Any = gymnasium.make(env_id).unwrapped
    return bool(base.get_action_meanings()[0] == "NOOP")


def sticky_random(sim: Simulator, steps: int, seed: int = 0) -> np.ndarray:
    """(steps, N) actions that are each held for a while, which gets further than mere noise."""
    generator = np.random.default_rng(seed)
    space: Any = sim.action_space
    drawn = generator.integers(0, space.n, (steps, sim.num_envs))
    held = generator.random((steps, sim.num_envs)) < 0.5
    for t in range(1, steps):
        drawn[t, held[t]] = drawn[t - 1, held[t]]
    return drawn
