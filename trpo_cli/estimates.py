"""From trajectories to what an update rule learns from: returns and advantages."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.config import AdvantageConfig
from trpo_cli.frames import concatenate
from trpo_cli.maths.returns import generalized_advantages, standardize
from trpo_cli.maths.split import WHOLE, Split
from trpo_cli.models.policies import Policy
from trpo_cli.models.values import StateValue
from trpo_cli.records import Batch, BranchBatch, Branches, Trajectories


def estimate(
    trajectories: Trajectories,
    policy: Policy,
    value: StateValue,
    discount: float,
    config: AdvantageConfig,
    clip_rewards: bool = False,
    split: Split = WHOLE,
) -> Batch:
    """The batch of B = T * N samples, step-major.

    Truncated episodes bootstrap from V of their final observation, the end of the rollout from V
    of the last observations, terminated episodes and lost lives from nothing.
    clip_rewards: learn from the sign of the rewards.
    split: how the batch is spread over processes.
    """
    rewards = trajectories.rewards
    steps, envs = rewards.shape
    size = steps * envs
    everything = concatenate(
        [
            trajectories.flat_observations,
            trajectories.last_observations,
            trajectories.final_observations,
        ]
    )
    inputs = value.array(policy.normalize(everything))
    all_values = value.predict(inputs)
    values = all_values[:size].reshape(steps, envs)
    next_values = np.concatenate([values[1:], all_values[None, size : size + envs]])
    t, n = trajectories.ends.T
    next_values[t, n] = all_values[size + envs :]
    worthless = trajectories.terminated  # nothing follows that learning should count
    if trajectories.lives_lost is not None:
        worthless = worthless | trajectories.lives_lost
    over = worthless | trajectories.truncated
    advantages = generalized_advantages(
        np.sign(rewards) if clip_rewards else rewards,
        values,
        next_values,
        np.where(worthless, np.float32(0.0), np.float32(discount)),
        np.where(over, np.float32(0.0), np.float32(1.0)),
        config.gae_lambda,
    )
    returns = (advantages + values).reshape(size)
    advantages = advantages.reshape(size)
    if config.standardize:
        advantages = standardize(advantages, split)
    branches = None
    if trajectories.branches is not None:
        branches = branch_batch(trajectories.branches, inputs, policy, config.standardize)
    seen = inputs[:size]
    return Batch(
        observations=policy.array(seen),
        actions=policy.array(trajectories.actions.reshape(size, -1)),
        advantages=policy.array(advantages),
        features=seen,
        returns=returns,
        values=all_values[:size],
        targets=policy.array(returns),
        branches=branches,
        split=split,
    )


def branch_batch(
    branches: Branches, inputs: Any, policy: Policy, standardized: bool
) -> BranchBatch:
    """What was tried in some of the states whose network inputs are `inputs`.

    standardized: divide the values by the standard deviation within states, after taking away
    each state's mean, which no gradient depends on.
    """
    values = branches.values
    if standardized:
        values = values - values.mean(axis=1, keepdims=True)
        deviation = float(np.sqrt((values**2).mean()))
        if deviation > 0.0:
            values = values / np.float32(deviation)
    count, k, size = branches.actions.shape
    log_proposal = branches.log_proposal
    return BranchBatch(
        policy.array(inputs[branches.states]),
        policy.array(branches.actions.reshape(count * k, size)),
        policy.array(values),
        None if log_proposal is None else policy.array(log_proposal),
    )
