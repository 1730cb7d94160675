"""From trajectories to what an update rule learns from: returns and advantages."""

from __future__ import annotations

import numpy as np

from trpo_cli.config import AdvantageConfig
from trpo_cli.maths.returns import generalized_advantages, standardize
from trpo_cli.models.policies import Policy
from trpo_cli.models.values import Value
from trpo_cli.records import Batch, Trajectories


def estimate(
    trajectories: Trajectories,
    policy: Policy,
    value: Value,
    discount: float,
    config: AdvantageConfig,
) -> Batch:
    """The batch of B = T * N samples, step-major.

    Truncated episodes bootstrap from V of their final observation, the end of the rollout from V
    of the last observations, terminated episodes from nothing.
    """
    steps, envs = trajectories.rewards.shape
    size = steps * envs
    everything = np.concatenate(
        [
            trajectories.flat_observations,
            trajectories.last_observations,
            trajectories.final_observations,
        ]
    )
    inputs = policy.normalize(everything)
    all_values = value.predict(inputs)
    values = all_values[:size].reshape(steps, envs)
    next_values = np.concatenate([values[1:], all_values[None, size : size + envs]])
    t, n = trajectories.ends.T
    next_values[t, n] = all_values[size + envs :]
    over = trajectories.terminated | trajectories.truncated
    advantages = generalized_advantages(
        trajectories.rewards,
        values,
        next_values,
        np.where(trajectories.terminated, np.float32(0.0), np.float32(discount)),
        np.where(over, np.float32(0.0), np.float32(1.0)),
        config.gae_lambda,
    )
    returns = (advantages + values).reshape(size)
    advantages = advantages.reshape(size)
    return Batch(
        observations=policy.array(inputs[:size]),
        actions=policy.array(trajectories.actions.reshape(size, -1)),
        advantages=policy.array(standardize(advantages) if config.standardize else advantages),
        features=inputs[:size],
        returns=returns,
    )
