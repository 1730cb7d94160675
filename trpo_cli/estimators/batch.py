"""From trajectories to what an update rule learns from: returns and advantages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.data.frames import concatenate
from trpo_cli.data.records import Batch, BranchBatch, Branches, Trajectories
from trpo_cli.data.sequences import Together
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.estimators.base import Estimator, Steps
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.psi import episode_times, lambda_returns, rewards_to_go, start_of_part
from trpo_cli.maths.returns import deviation, standardize
from trpo_cli.maths.vine import trunk_weight

if TYPE_CHECKING:
    from trpo_cli.estimators.rewards import RewardScaler
    from trpo_cli.maths.distributions import Distribution
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue


class Estimation:
    """Trajectories, and the batch of B = T * N samples, step-major, that they are with V as it is
    when it is asked for.

    Truncated episodes bootstrap from V of their final observation, the end of the rollout from V
    of the last observations, terminated episodes and lost lives from nothing.
    config: of the group `advantage`.
    clip_rewards: learn from the sign of the rewards.
    split: how the batch is spread over processes.
    estimator: the one that `config` builds; given where it remembers earlier batches.
    scaler: of the rewards that are learned from, which remembers these; None: they stay.
    acted: the distributions that actions were drawn from, if they are no longer the policy's.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        policy: Policy,
        value: StateValue,
        discount: float,
        config: Any,
        clip_rewards: bool = False,
        split: Split = WHOLE,
        estimator: Estimator | None = None,
        scaler: RewardScaler | None = None,
        acted: Distribution | None = None,
    ) -> None:
        self._trajectories, self._policy, self._value = trajectories, policy, value
        self._discount, self._config, self._split = discount, config, split
        self._estimator, self._acted = estimator or config.build(), acted
        everything = concatenate(
            [
                trajectories.flat_observations,
                trajectories.last_observations,
                trajectories.final_observations,
            ]
        )
        self._inputs = policy.normalize(everything)
        self._seen: Any = None  # of the policy alone, where V sees what it remembered as well
        memory = trajectories.memory
        if memory is not None:
            self._seen = policy.inputs(trajectories.flat_observations, memory)
            self._inputs = memory.beside(self._inputs)
        self._inputs = value.to_device(self._inputs)
        worthless = trajectories.terminated  # nothing follows that learning should count
        if trajectories.lives_lost is not None:
            worthless = worthless | trajectories.lives_lost
        over = worthless | trajectories.truncated
        rewards = trajectories.rewards
        rewards = np.sign(rewards) if clip_rewards else rewards
        if scaler is not None:
            rewards = scaler(rewards, over, trajectories, split)
        self.rewards = rewards
        """Those that are learned from, (T, N)."""
        self._discounts = np.where(worthless, np.float32(0.0), np.float32(discount))
        self._continues = np.where(over, np.float32(0.0), np.float32(1.0))

    def _together(self) -> Together:
        steps, envs = self.rewards.shape
        length = self._policy.sequence_length or steps
        return Together(self._trajectories.all_envs or envs, length)

    def batch(self) -> Batch:
        """The samples with returns and advantages by V as it is now."""
        trajectories, policy, config = self._trajectories, self._policy, self._config
        split, inputs, continues = self._split, self._inputs, self._continues
        steps, envs = self.rewards.shape
        size = steps * envs
        all_values = self._value.predict(inputs)
        values = all_values[:size].reshape(steps, envs)
        next_values = np.concatenate([values[1:], all_values[None, size : size + envs]])
        t, n = trajectories.ends.T
        next_values[t, n] = all_values[size + envs :]
        terms = Steps(self.rewards, values, next_values, self._discounts, continues)
        psi = self._estimator.psi(terms, split)
        if config.value_lambda is None:
            returns = psi + values
        else:
            returns = lambda_returns(*terms, config.value_lambda)
        advantages, returns = psi.reshape(size), returns.reshape(size)
        if config.standardize:
            advantages = standardize(advantages, split.average, split.max)
        weights = None
        if config.discount_states:
            first = config.traits.from_start
            weights = state_weights(trajectories, self._discount, first, continues).reshape(size)
            advantages = advantages * weights
        branches = None
        if trajectories.branches is not None:
            if weights is not None:  # rollouts begin in their states, whatever the trunk's sums do
                weights = state_weights(trajectories, self._discount, False, continues)
                weights = weights.reshape(size)
            branches = branch_batch(
                trajectories.branches, inputs, policy, config.standardize, psi, weights
            )
        seen = inputs[:size]
        return Batch(
            observations=policy.to_device(seen) if self._seen is None else self._seen,
            actions=policy.to_device(trajectories.actions.reshape(size, -1)),
            advantages=policy.to_device(advantages),
            features=seen,
            returns=returns,
            values=all_values[:size],
            rewards_to_go=rewards_to_go(
                terms.rewards, terms.next_values, terms.discounts, terms.continues
            ).reshape(size),
            targets=policy.to_device(returns),
            branches=branches,
            acted=self._acted,
            together=None if self._seen is None else self._together(),
            split=split,
        )


def state_weights(
    trajectories: Trajectories, discount: float, from_start: bool, continues: Array
) -> Array:
    """gamma^t of each sample, (T, N) float32, t steps into its episode. A total return counts from
    the first step of its part (from_start): for it t is that step's."""
    first = trajectories.first_times
    if first is None:
        first = np.zeros(trajectories.rewards.shape[1], dtype=np.int64)
    times = episode_times(first, trajectories.terminated | trajectories.truncated)
    if from_start:
        times = start_of_part(times, continues)
    return np.power(np.float32(discount), times, dtype=np.float32)


def branch_batch(
    branches: Branches,
    inputs: Any,
    policy: Policy,
    standardized: bool,
    advantages: np.ndarray,
    weights: np.ndarray | None = None,
) -> BranchBatch:
    """What was tried in some of the states whose network inputs are `inputs`.

    standardized: divide the values by the standard deviation within states, after taking away
    each state's mean, which no gradient depends on. advantages: of the trunk, not standardised.
    weights: (B,) of the states, or None.
    """
    values = branches.values
    count, k, size = branches.actions.shape
    centred = values - values.mean(axis=1, keepdims=True)
    scale = deviation(centred, float(abs(values).max()))
    trunk = None
    if branches.use_trunk:
        spread = deviation(advantages - advantages.mean(), float(abs(advantages).max()))
        trunk = trunk_weight((advantages.size, spread), (count * (k - 1), scale), standardized)
    if standardized:
        values = centred / np.float32(scale) if scale else centred
    if weights is not None:
        values = values * weights[branches.states][:, None]
    log_proposal = branches.log_proposal
    return BranchBatch(
        policy.to_device(inputs[branches.states]),
        policy.to_device(branches.actions.reshape(count * k, size)),
        policy.to_device(values),
        None if log_proposal is None else policy.to_device(log_proposal),
        trunk,
    )
