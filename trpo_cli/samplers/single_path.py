"""Single-path sampling: T steps of N environments under one frozen policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import SamplerTraits, component
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.errors import UserError
from trpo_cli.samplers.base import Sampler, World
from trpo_cli.seeding import environment_seeds
from trpo_cli.settings import CONTINUOUS, setting

if TYPE_CHECKING:
    from trpo_cli.samplers.device_sampler import DeviceSampler
    from trpo_cli.samplers.single_path_sampler import SinglePathSampler


@component("sampler")
@dataclass
class SinglePathConfig:
    """Trajectories from the start distribution (TRPO paper, section 5.1)."""

    traits: ClassVar = SamplerTraits("trajectories", processes=True)

    num_envs: int = setting(help="environments stepped together", low=1)
    steps_per_env: int = setting(help="steps of each environment per iteration", low=1)
    groups: int = setting(
        help="parts of the environments, each stepped by a thread of its own; at most num_envs",
        low=1,
        when="env.vector!=native",
    )

    reuse: int = setting(
        help="iterations whose samples an update learns from: the newest, and those before it by "
        "importance weights",
        low=1,
    )
    noise_beta: float = setting(
        help="power spectrum f^-beta of the noise of an environment's actions over an iteration's "
        "steps: 0 white, 1 pink",
        low=0,
        high=2,
        when=CONTINUOUS,
    )

    def check(self, config: Any) -> None:
        """Whether samples of earlier iterations can be learned from again."""
        if self.reuse == 1:
            return
        said, rule = f"sampler.reuse={self.reuse}", config.algo
        if not rule.traits.reuses:
            raise UserError(
                f"{said} cannot be used with algo={rule.name}, whose objective has no place for "
                "the weights of samples that older policies drew. Try vpg, npg, trpo, ppo or "
                "ppo_penalty, or leave it out."
            )
        if getattr(rule, "recompute_advantages", False):
            raise UserError(
                f"{said} cannot be combined with algo.recompute_advantages=true, which estimates "
                "those of the newest samples alone. Leave one of the two out."
            )
        if not config.advantage.traits.needs_value:
            raise UserError(
                f"{said} estimates the advantages of earlier samples anew, by the value function "
                f"of now, and there is none in advantage={config.advantage.name}. Try "
                "advantage=gae, or leave it out."
            )
        if config.env.backend == "warp":
            raise UserError(
                f"{said} cannot be combined with env.backend=warp, whose batches are large already "
                "and stay on the device. Leave it out."
            )

    def check_world(self, config: Any, simulator: Any) -> None:
        """The same, once it is known what the policy looks at."""
        traits = config.policy.traits
        if self.reuse > 1 and (traits.images or traits.remembers):
            why = "remembers what it saw" if traits.remembers else "looks at images"
            raise UserError(
                f"sampler.reuse={self.reuse} keeps observations as vectors of numbers, and "
                f"policy={config.policy.name} {why}. Leave it out."
            )

    def build(self, config: Any, world: World) -> tuple[Sampler, Split]:
        if self.reuse > 1 and world.processes.count > 1:
            raise UserError(
                f"sampler.reuse={self.reuse} runs in one process, and there are "
                f"{world.processes.count}; start trpo-run without torchrun, or leave it out."
            )
        if config.env.backend == "warp":
            return build_there(config, world, self.noise_beta), WHOLE
        return build_trajectories(config, world, self.noise_beta)


def build_there(config: Any, world: World, noise_beta: float) -> DeviceSampler:
    """All environments in one simulator on the networks' device."""
    from trpo_cli.samplers.device_sampler import DeviceSampler
    from trpo_cli.simulators.make import make_simulator

    if world.processes.count > 1:
        raise UserError(
            f"env.backend=warp runs in one process, and there are {world.processes.count}; start "
            "trpo-run without torchrun."
        )
    sampler = config.sampler
    simulator: Any = make_simulator(
        config.env, sampler.num_envs, world.threads, device=world.device
    )
    seeds = environment_seeds(world.seed, sampler.num_envs)
    return DeviceSampler(simulator, sampler.steps_per_env, seeds, noise_beta)


def build_trajectories(
    config: Any, world: World, noise_beta: float = 0.0
) -> tuple[SinglePathSampler, Split]:
    """This process's environments, consecutive ones, and which samples come from them.

    noise_beta: see `SinglePathConfig`.
    """
    from trpo_cli.samplers.single_path_sampler import SinglePathSampler
    from trpo_cli.simulators.make import make_simulator

    sampler, processes = config.sampler, world.processes
    steps, envs = sampler.steps_per_env, sampler.num_envs
    if envs < processes.count:
        raise UserError(
            f"sampler.num_envs={envs} is too small for {processes.count} processes: each needs an "
            "environment of its own. Give more environments, or fewer processes."
        )
    native = config.env.vector == "native"
    if native and processes.count > 1:
        raise UserError(
            f"env.vector=native runs in one process, and there are {processes.count}: its "
            "environments share one random generator. Start trpo-run without torchrun, or try "
            "env.vector=auto."
        )
    own = np.array_split(np.arange(envs), processes.count)[processes.rank]
    groups = 1 if native else min(sampler.groups, len(own))
    threads = max(1, world.threads // groups)
    workers = max(1, config.env.workers // groups) if config.env.workers else 0
    simulators = [
        make_simulator(
            config.env, len(part), threads, first=int(part[0]), workers=workers, native=True
        )
        for part in np.array_split(own, groups)
    ]
    built = SinglePathSampler(
        simulators,
        steps,
        environment_seeds(world.seed, envs),
        # One thread for each group while workers compute: it waits for them.
        max(world.threads, groups) if workers else world.threads,
        first=int(own[0]),
        noise_beta=noise_beta,
    )
    if processes.count == 1:
        return built, WHOLE
    numbers = (envs * np.arange(steps)[:, None] + own).reshape(-1)
    return built, Split(processes, numbers, steps * envs)
