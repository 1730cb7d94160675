"""The one place where a run is put together from its configuration.

    prepare(config)          one environment is looked at; every `auto` is decided, all that can be
                             refused beforehand is refused; nothing is written
    build(prepared, world)   simulators, sampler, policy, value function, estimator, update rule

Training, the check before a run directory is made, evaluation, the self-test and ``--restorable``
all come here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trpo_cli.config import Config
from trpo_cli.config.settle import choose_device, fits_together, settle
from trpo_cli.data.frames import colours_last
from trpo_cli.errors import UserError
from trpo_cli.samplers.base import Sampler, World
from trpo_cli.seeding import stream
from trpo_cli.system.machine import has_nvidia_driver

if TYPE_CHECKING:
    import numpy as np

    from trpo_cli.distributed.split import Split
    from trpo_cli.estimators.base import Estimator
    from trpo_cli.estimators.reuse import Earlier
    from trpo_cli.estimators.rewards import RewardScaler
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue
    from trpo_cli.simulators.base import Simulator

TENSORS_ON_CPU = "cpu:0"
"""The CPU as torch numbers it: networks there work on tensors, as environments on a device do."""


@dataclass(frozen=True)
class Prepared:
    """A configuration with every `auto` decided, and the kind of environment that it is for.

    simulator: one environment of the kind, closed: its spaces and limits can be read.
    emulated: it is an Atari game on the emulator.
    """

    config: Config
    simulator: Simulator
    emulated: bool


@dataclass(frozen=True)
class Components:
    """What a run is made of. split: which samples of a batch come from this process. rule: an
    `Algorithm`, or one that learns from what another sampler gives."""

    config: Config
    sampler: Sampler
    split: Split
    policy: Policy
    value: StateValue
    estimator: Estimator
    scaler: RewardScaler | None
    earlier: Earlier | None
    rule: Any
    device: str
    device_reason: str


def prepare(config: Config) -> Prepared:
    """Look at one environment, decide every `auto`, and check all that goes with them.

    Raises `UserError` for what this machine, the environment or the networks chosen for it cannot
    do.
    """
    check_device(config.device)
    if config.env.backend == "warp" and config.sampler.name != "single_path":
        raise UserError(
            f"sampler={config.sampler.name} cannot use env.backend=warp. Try sampler=single_path, "
            "or env.backend=auto."
        )
    from trpo_cli.simulators.base import shows_images
    from trpo_cli.simulators.make import is_emulated, make_simulator
    from trpo_cli.training.memory import check_memory

    emulated = is_emulated(config.env)
    if emulated:  # its frames get the size that the network wants
        config = settle(config, images=True, emulated=True)
        _check_frames(config)
    simulator = make_simulator(config.env, num_envs=1, threads=1, native=True)
    simulator.close()
    if not emulated:
        config = settle(config, shows_images(simulator.observation_space))
    check_memory(config, simulator)
    check = getattr(config.sampler, "check_world", None)
    if check is not None:
        check(config, simulator)
    return Prepared(config, simulator, emulated)


def build(prepared: Prepared, world: World) -> Components:
    """The components of a run, with their first parameters.

    Raises `UserError` for what cannot be had with these processes.
    """
    config = prepared.config
    if world.processes.count > 1 and not config.sampler.traits.processes:
        raise UserError(
            f"sampler={config.sampler.name} runs in one process, and there are "
            f"{world.processes.count}; start trpo-run without torchrun, or choose "
            "sampler=single_path."
        )
    kind, why = choose_device(config.device, config.policy, config.env.backend)
    device = where = world.processes.device(kind)
    if config.env.backend == "warp" and device == "cpu":
        device = TENSORS_ON_CPU
    if device.startswith("cuda"):
        import torch

        # Torch's default for convolutions has ten bits of mantissa: products with the Jacobian were
        # wrong by 2% on an H100.
        torch.backends.cudnn.allow_tf32 = not config.algo.traits.bounds_kl
    sampler, split = config.sampler.build(config, replace(world, device=device))
    space = sampler.simulators[0].observation_space
    policy = build_policy(config, sampler.simulators[0], stream(world.seed, "policy_init"), device)
    together = fits_together(config)
    value = config.value.build(
        policy, config.policy, space, stream(world.seed, "value_init"), together
    )
    coef = config.value.coef if together else 0.0
    return Components(
        config=config,
        sampler=sampler,
        split=split,
        policy=policy,
        value=value,
        estimator=config.advantage.build(),
        scaler=build_scaler(config),
        earlier=build_earlier(config),
        rule=config.algo.build(policy, coef),
        device=where,
        device_reason=why,
    )


def build_scaler(config: Config) -> RewardScaler | None:
    """What scales the rewards that are learned from, where they are to be scaled."""
    advantage = config.advantage
    if not getattr(advantage, "scale_rewards", False):  # an estimator of one's own may lack it
        return None
    from trpo_cli.estimators.rewards import RewardScaler

    return RewardScaler(config.discount, advantage.reward_clip)


def build_earlier(config: Config) -> Earlier | None:
    """What keeps samples of earlier iterations, where they are learned from again."""
    reuse = getattr(config.sampler, "reuse", 1)
    if reuse == 1:
        return None
    from trpo_cli.estimators.reuse import Earlier

    return Earlier(reuse - 1)


def build_policy(
    config: Config, simulator: Simulator, generator: np.random.Generator, device: str = "cpu"
) -> Policy:
    """The policy of a settled configuration for the environments of a simulator."""
    policy: Policy = config.policy.build(
        simulator.observation_space,
        simulator.action_space,
        generator,
        device,
        with_value=fits_together(config),
    )
    return policy


def check_device(device: str) -> None:
    """Refuse `device=cuda` without a GPU, cheaply: torch is imported only where a driver is."""
    if device != "cuda":
        return
    reason = "this machine has no NVIDIA driver"
    if not sys.platform.startswith("linux") or has_nvidia_driver():
        import torch

        if torch.cuda.is_available():
            return
        reason = f"torch {torch.__version__} finds none"
    raise UserError(f"device=cuda: no usable GPU ({reason}). Try device=cpu or device=auto.")


def _check_frames(config: Config) -> None:
    """A stack of frames that a convolutional network would take for an image in colours."""
    from trpo_cli.simulators.atari.settings import frame_size

    atari = config.env.atari
    height, width = frame_size(atari)
    if config.policy.traits.images and colours_last((atari.frame_stack, height, width)):
        raise UserError(
            f"env.atari.frame_stack={atari.frame_stack} is too high for frames of {height} x "
            f"{width}: such a stack looks like an image with its colours last. Try a lower one, "
            "or larger frames."
        )
