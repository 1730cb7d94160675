"""How much memory a run takes at least, and whether it is there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

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


def memory_needed(config: Config, simulator: Simulator) -> dict[str, int]:
    """The least bytes that a run takes, part by part; each part is named by the settings that
    make it large. What cannot be known beforehand is left out: who is refused cannot run."""
    sampler, evaluation = config.sampler, config.eval
    environment = ENVIRONMENT.get(simulator.backend, 0) + math.prod(space_of(simulator))
    each = f"sampler.num_envs={sampler.num_envs}"
    batch = f"{each} x sampler.steps_per_env={sampler.steps_per_env}"
    samples = sampler.num_envs * sampler.steps_per_env
    # Held twice for a moment, when the groups' parts are put together.
    observations = 2 * observation_bytes(config, simulator)
    found = {
        f"{each} environments": sampler.num_envs * environment,
        f"{batch} observations {space_of(simulator)}": observations,
        f"{batch} samples": SAMPLE * samples,
    }
    if hasattr(sampler, "rollouts_per_action"):
        states = samples if sampler.choose == "all" else min(samples, sampler.rollout_states)
        tried = 1 if sampler.proposal == "all" else sampler.actions
        rollouts = states * tried * sampler.rollouts_per_action
        found["the vine's rollouts (sampler.actions, sampler.rollouts_per_action)"] = (
            SAMPLE * rollouts
        )
        found[f"sampler.width={sampler.width} environments"] = (sampler.width or 0) * environment
    if units := getattr(config.policy, "memory_size", None):
        # What is remembered before each step, and beside the observations once more, for V.
        found[f"{batch} states of policy.memory_size={units}"] = 2 * 4 * samples * units
    for group in ("policy", "value"):
        section = getattr(config, group)
        if sizes := getattr(section, "hidden_sizes", None):
            inputs = math.prod(space_of(simulator))
            weights = sum(a * b for a, b in itertools.pairwise([inputs, *sizes]))
            found[f"{group}.hidden_sizes={sizes}"] = NETWORK * weights
            if group == "policy" and config.algo.traits.bounds_kl:
                # Fisher products need every sample's hidden units.
                found[f"{batch} samples of {sum(sizes)} hidden units"] = 4 * samples * sum(sizes)
    if evaluation.episodes:
        found[f"eval.episodes={evaluation.episodes}"] = evaluation_bytes(
            evaluation.episodes, evaluation.deterministic
        )
    return found


def evaluation_bytes(episodes: int, deterministic: bool) -> int:
    """The least bytes that an evaluation of so many episodes takes."""
    return episodes * (EPISODE + (0 if deterministic else NOISE))


def space_of(simulator: Simulator) -> tuple[int, ...]:
    return tuple(simulator.observation_space.shape or ())


ENVIRONMENT = {"gymnasium": 3000, "mujoco": 8000, "atari": 2**19}
"""Bytes of one environment of each backend, measured and rounded down."""
SAMPLE = 40
"""Bytes of a sample beside its observation: action, log-probability, reward, how it ended, value,
advantage and return, of four or eight bytes each."""
NETWORK = 16
"""Bytes of a weight: itself, its gradient and two moments of Adam's, or vectors of conjugate
gradients."""
EPISODE = 100
"""Bytes of an evaluated episode: seed, return and length, as numbers of Python's."""
NOISE = 900
"""Bytes of the generator of one episode's action noise."""


def check_memory(config: Config, simulator: Simulator) -> None:
    """Raise `UserError` when a run cannot fit into the memory that this process may still take."""
    check_parts(memory_needed(config, simulator))


def check_parts(parts: Mapping[str, int]) -> None:
    """Raise `UserError` naming the largest parts, and what there is, unless they fit."""
    needed, there = sum(parts.values()), available_memory()
    if there is None or needed <= there:
        return
    largest = sorted(parts, key=lambda name: -parts[name])
    told = [name for name in largest if 10 * parts[name] >= needed]
    words = "; ".join(f"{name} take {size_in_words(parts[name])}" for name in told)
    raise UserError(
        f"This needs {size_in_words(needed)} of memory at least, and {size_in_words(there)} are "
        f"free: {words}. Try less of that."
    )


def size_in_words(number: int) -> str:
    """1.5 GiB, 7.3 MiB, 12 KiB."""
    for unit, name in ((2**30, "GiB"), (MIB, "MiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number / 1024:.3g} KiB"
