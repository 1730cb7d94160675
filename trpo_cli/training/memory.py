"""How much memory the observations of one iteration need, and whether it is there."""

from __future__ import annotations

import math

from trpo_cli.config import Config
from trpo_cli.errors import UserError
from trpo_cli.simulators.base import Simulator, shows_images
from trpo_cli.system.machine import available_memory

MIB = 2**20


def observation_bytes(config: Config, simulator: Simulator) -> int:
    """Bytes of T steps of N environments: images as bytes, each frame once; numbers as float32.

    simulator: any of the kind, whatever its number of environments.
    """
    space, sampler = simulator.observation_space, config.sampler
    samples = sampler.num_envs * sampler.steps_per_env
    if not shows_images(space):
        return 4 * samples * math.prod(space.shape)
    frames = samples
    if simulator.frame_stack > 1:  # one new frame a step, and the stacks that there are first
        frames += sampler.num_envs * simulator.frame_stack
        return frames * math.prod(space.shape[1:])
    return (samples + sampler.num_envs) * math.prod(space.shape)


def check_memory(config: Config, simulator: Simulator) -> None:
    """Raise `UserError` when the observations of one iteration cannot fit into memory.

    They are held twice for a moment, when the groups' parts are put together.
    """
    needed, there = observation_bytes(config, simulator), available_memory()
    if there is None or 2 * needed <= there:
        return
    sampler = config.sampler
    raise UserError(
        f"sampler.num_envs={sampler.num_envs} x sampler.steps_per_env={sampler.steps_per_env} "
        f"observations {simulator.observation_space.shape} take {size_in_words(needed)}, twice for "
        f"a moment, and {size_in_words(there)} of memory are free. Try fewer of either."
    )


def size_in_words(number: int) -> str:
    """1.5 GiB, 7.3 MiB, 12 KiB."""
    for unit, name in ((2**30, "GiB"), (MIB, "MiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number / 1024:.3g} KiB"
