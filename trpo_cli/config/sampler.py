"""The settings of the group `sampler`: one dataclass per option."""

from __future__ import annotations

from dataclasses import dataclass

from trpo_cli.settings import setting


@dataclass
class SinglePathConfig:
    """Trajectories from the start distribution (TRPO paper, section 5.1)."""

    name: str = setting("single_path", "the sampler", choices=["single_path"])
    num_envs: int = setting(16, "environments stepped together", low=1)
    steps_per_env: int = setting(128, "steps of each environment per iteration", low=1)
    groups: int = setting(
        2,
        "parts of the environments, each stepped by a thread of its own; at most num_envs",
        low=1,
    )


@dataclass
class PerturbationsConfig:
    """Whole episodes of pairs of perturbed policies side by side, for algo=es."""

    name: str = setting("perturbations", "the sampler", choices=["perturbations"])
    num_envs: int = setting(
        64, "environments stepped together: two for each direction and episode", low=2
    )
    steps_per_env: int = setting(1000, "steps after which an episode is cut", low=1)
    episodes: int = setting(1, "episodes of each perturbed policy, averaged", low=1)


@dataclass
class VineConfig(SinglePathConfig):
    """Trunk trajectories, and short rollouts of several actions from states along them (TRPO
    paper, section 5.2)."""

    name: str = setting("vine", "the sampler", choices=["vine"])
    rollout_states: int = setting(
        64, "states of the trunk to branch from, per iteration (choose=all: every one)", low=1
    )
    choose: str = setting(
        "random",
        "which states: random, a fixed stride along the trunks, or all",
        choices=["random", "stride", "all"],
    )
    actions: int = setting(4, "actions tried in each state (proposal=all: every one)", low=1)
    proposal: str = setting(
        "policy",
        "how actions are drawn: from the policy, uniformly, or all of a discrete space, once each",
        choices=["policy", "uniform", "all"],
    )
    rollouts_per_action: int = setting(1, "rollouts of each action, averaged", low=1)
    horizon: int = setting(20, "steps of a rollout, the first action's included", low=1)
    common_random_numbers: bool = setting(
        True, "the rollouts of a state's actions share the noise of policy and simulator"
    )
    bootstrap: bool = setting(
        True, "add the value function at the end of a rollout that was cut (the paper does not)"
    )
    width: int | None = setting(
        None, "rollouts simulated together; null: 1024 on MuJoCo, 64 Atari games, 256 others", low=1
    )
    compare_states: int = setting(
        0,
        "states in which two actions are also rolled out twice with common and twice with "
        "independent random numbers, to measure what common ones save (their steps count)",
        low=0,
    )
