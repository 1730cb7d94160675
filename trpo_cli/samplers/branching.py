"""What a vine branches from and into: its states, their actions, how many rollouts run together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.errors import UserError

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy
    from trpo_cli.simulators.base import Simulator

WIDTHS = {"mujoco": 1024, "atari": 64}
OTHER_WIDTH = 256


def choose_states(config: Any, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Numbers (S,) of the trunk's samples to branch from, ascending."""
    count = min(config.rollout_states, samples)
    if config.choose == "all" or count == samples:
        return np.arange(samples)
    if config.choose == "stride":
        return np.arange(count) * samples // count
    return np.sort(generator.choice(samples, count, replace=False))


def number_of_actions(config: Any, space: spaces.Space[Any]) -> int:
    """K; raises `UserError` for a proposal that the action space does not allow."""
    from gymnasium import spaces

    key = f"sampler.proposal={config.proposal}"
    if config.proposal == "all":
        if not isinstance(space, spaces.Discrete):
            raise UserError(f"{key} needs a finite set of actions, and these are {space}.")
        return int(space.n)
    if config.proposal == "uniform" and isinstance(space, spaces.Box) and not space.is_bounded():
        raise UserError(f"{key} needs bounded actions, and these are {space}.")
    if config.actions < 2 and config.proposal == "policy":
        raise UserError(
            f"sampler.actions={config.actions}: one action cannot be compared with others; try 4."
        )
    return config.actions


def uniform_actions(
    policy: Policy,
    space: spaces.Space[Any],
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Actions (S, K, A) in the policy's units, uniform over what the environment takes."""
    from gymnasium import spaces

    from trpo_cli.models.heads import GaussianHead

    log_proposal = np.zeros(shape, dtype=np.float32)
    if isinstance(policy.head, GaussianHead):
        low, high = policy.head.bounds()
        drawn = generator.random((*shape, len(low)), dtype=np.float32)
        return low + drawn * (high - low), log_proposal
    if isinstance(space, spaces.MultiBinary):
        return generator.integers(2, size=(*shape, *space.shape)), log_proposal
    sizes = [space.n] if isinstance(space, spaces.Discrete) else space.nvec  # type: ignore[attr-defined]
    drawn = np.stack([generator.integers(int(n), size=shape) for n in sizes], axis=-1)
    return drawn, log_proposal


def width(config: Any, simulator: Simulator) -> int:
    """How many rollouts run together: never more than an iteration has."""
    most = config.width or WIDTHS.get(simulator.backend, OTHER_WIDTH)
    states = config.rollout_states
    if config.choose == "all":
        states = config.num_envs * config.steps_per_env
    k = number_of_actions(config, simulator.action_space)
    return min(most, states * k * config.rollouts_per_action)


def check_vine(config: Any, simulator: Simulator) -> None:
    """Raise `UserError` where the vine cannot be had: this rule, this environment, these settings.

    simulator: any of the kind.
    """
    vine = config.sampler
    if simulator.why_not_branchable:
        raise UserError(
            f"sampler=vine goes back to earlier states, and env={config.env.id} cannot be brought "
            f"back exactly: {simulator.why_not_branchable}. Try sampler=single_path."
        )
    if vine.proposal == "uniform" and getattr(config.policy, "actions", "") == "squash":
        raise UserError(
            "sampler.proposal=uniform cannot be combined with policy.actions=squash: actions that "
            "are uniform between the bounds are not those behind tanh. Try "
            "sampler.proposal=policy, or policy.actions=rescale."
        )
    k = number_of_actions(vine, simulator.action_space)
    if vine.compare_states and k < 2:
        raise UserError(
            f"sampler.compare_states={vine.compare_states} compares two actions; give "
            "sampler.actions at least 2."
        )
