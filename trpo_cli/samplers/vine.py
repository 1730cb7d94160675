"""The vine of the TRPO paper (section 5.2): its settings. The sampler: `samplers.vine_sampler`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trpo_cli.components import SamplerTraits, component
from trpo_cli.distributed.split import Split
from trpo_cli.errors import UserError
from trpo_cli.samplers.base import World
from trpo_cli.samplers.single_path import build_trajectories
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.samplers.vine_sampler import VineSampler
    from trpo_cli.simulators.base import Simulator


@component("sampler")
@dataclass
class VineConfig:
    """Trunk trajectories, and short rollouts of several actions from states along them (TRPO
    paper, section 5.2)."""

    traits: ClassVar = SamplerTraits("branches")

    num_envs: int = setting(help="environments stepped together", low=1)
    steps_per_env: int = setting(help="steps of each environment per iteration", low=1)
    groups: int = setting(
        help="parts of the environments, each stepped by a thread of its own; at most num_envs",
        low=1,
    )
    rollout_states: int = setting(
        help="states of the trunk to branch from, per iteration (choose=all: every one)",
        low=1,
        when="choose!=all",
    )
    choose: str = setting(
        help="which states: random, a fixed stride along the trunks, or all",
        choices=["random", "stride", "all"],
    )
    actions: int = setting(
        help="actions tried in each state (proposal=all: every one)", low=1, when="proposal!=all"
    )
    proposal: str = setting(
        help="how actions are drawn: from the policy, uniformly, or all of a discrete space, once "
        "each",
        choices=["policy", "uniform", "all"],
    )
    rollouts_per_action: int = setting(help="rollouts of each action, averaged", low=1)
    horizon: int = setting(help="steps of a rollout, the first action's included", low=1)
    common_random_numbers: bool = setting(
        help="the rollouts of a state's actions share the noise of policy and simulator"
    )
    bootstrap: bool = setting(
        help="add the value function at the end of a rollout that was cut (the paper does not)"
    )
    use_trunk: bool = setting(
        help="learn from the trunk's own samples too, weighted by inverse variances (the paper "
        "does not)",
        before=False,
    )
    width: int | None = setting(
        help="rollouts simulated together; null: 1024 on MuJoCo, 64 Atari games, 256 others", low=1
    )
    compare_states: int = setting(
        help="states in which two actions are also rolled out twice with common and twice with "
        "independent random numbers, to measure what common ones save (their steps count)",
        low=0,
    )

    def build(self, config: Any, world: World) -> tuple[VineSampler, Split]:
        from trpo_cli.samplers.branching import width
        from trpo_cli.samplers.vine_sampler import VineSampler
        from trpo_cli.simulators.make import is_emulated, make_simulator

        trunk, split = build_trajectories(config, world)
        envs = width(self, trunk.simulators[0])
        branches = make_simulator(config.env, envs, world.threads)
        clip_rewards = is_emulated(config.env) and config.env.atari.clip_rewards
        return VineSampler(trunk, branches, self, config.discount, clip_rewards), split

    def check(self, config: Any) -> None:
        """Raise `UserError` for estimators and value functions that do not go with a vine."""
        advantage, value = config.advantage, config.value
        if not self.use_trunk and advantage.name != "gae":
            raise UserError(
                f"advantage={advantage.name} would change nothing with sampler.use_trunk=false: "
                "the values of actions come from the vine's rollouts. Leave advantage out, or try "
                "sampler.use_trunk=true or sampler=single_path."
            )
        if self.bootstrap and not value.traits.learned:
            raise UserError(
                f"value={value.name} leaves sampler=vine nothing to add at the end of a rollout "
                "that was cut; give sampler.bootstrap=false sampler.use_trunk=false (as in the "
                f"paper), or leave value={value.name} out."
            )
        if self.use_trunk and advantage.traits.needs_value and not value.traits.learned:
            raise UserError(
                f"advantage={advantage.name} judges the trunk's samples by a value function, and "
                f"value={value.name} has none; give sampler.use_trunk=false (as in the paper), or "
                f"try advantage=reward_to_go, or leave value={value.name} out."
            )

    def check_world(self, config: Any, simulator: Simulator) -> None:
        from trpo_cli.samplers.branching import check_vine

        check_vine(config, simulator)
