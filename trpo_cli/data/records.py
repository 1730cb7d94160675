"""What flows through the program: frozen records, every field's shape written down.

T steps of N environments make B = T * N samples. Observations keep the environment's shape;
images come as `FrameStacks`, which store each frame once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.data.frames import FrameStacks
from trpo_cli.data.sequences import Memory, Together
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution


@dataclass(frozen=True)
class Trajectories:
    """Experience of one iteration, as the single-path sampler collected it.

    observations: (T, N, *obs) float32, raw (not normalised), what the policy acted on; or
        `FrameStacks` of T * N, step-major.
    actions: (T, N, *act), in the policy's own units (before rescaling or clipping).
    rewards: (T, N) float32, as the environment paid them.
    terminated, truncated: (T, N) bool; terminated wins.
    ends: (E, 2) int, the (t, n) of every episode end, in the order of t then n.
    final_observations: (E, *obs) float32 or `FrameStacks`, what each ended episode last saw.
    last_observations: (N, *obs) float32 or `FrameStacks`, what each environment sees after the
        last step.
        These three, and actions, are tensors where the environments live on a device.
    episode_returns, episode_lengths: of the episodes that ended, in the order of `ends`:
        undiscounted, unclipped. On a device without those that were cut before their time.
    failed_simulations: episodes that were ended because their simulation failed.
    lives_lost: (T, N) bool, where learning takes a lost life for an end; None without lives.
    branches: what was tried along the way (vine); None on a single path.
    first_times: (N,) int64, steps that the first samples' episodes had before them; None: none.
    memory: what the policy remembered; None of one that does not.
    first_env, all_envs: the number of the first of these environments among those of all
        processes, and how many these are; None: N.
    """

    observations: Array | FrameStacks
    actions: Array
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ends: np.ndarray
    final_observations: Array | FrameStacks
    last_observations: Array | FrameStacks
    episode_returns: list[float]
    episode_lengths: list[int]
    failed_simulations: int = 0
    lives_lost: np.ndarray | None = None
    branches: Branches | None = None
    first_times: np.ndarray | None = None
    memory: Memory | None = None
    first_env: int = 0
    all_envs: int | None = None

    @property
    def num_steps(self) -> int:
        """Simulated environment steps of all processes, T * N of one, and those of branches."""
        steps, envs = self.rewards.shape
        branched = self.branches.steps if self.branches is not None else 0
        return steps * (self.all_envs or envs) + branched

    @property
    def flat_observations(self) -> Array | FrameStacks:
        """(B, *obs), step-major."""
        if isinstance(self.observations, FrameStacks):
            return self.observations
        return self.observations.reshape(-1, *self.observations.shape[2:])


@dataclass(frozen=True)
class Branches:
    """What S states of a trunk gave when K actions were tried in each (vine).

    states: (S,) int64, ascending numbers of the trunk's samples, t * N + n.
    actions: (S, K, A), in the policy's units.
    values: (S, K) float32, Q(s, a) by rollouts, the mean of M each.
    log_proposal: (S, K) float32, log q(a|s) up to a constant per state; None where the K actions
        are all there are, each once.
    steps: environment steps simulated in the rollouts.
    difference_variance: variance of Q(s, a) - Q(s, a') over rollouts with common and with
        independent random numbers, (2,); None unless measured.
    use_trunk: whether the trunk's samples are learned from as well.
    """

    states: np.ndarray
    actions: np.ndarray
    values: np.ndarray
    log_proposal: np.ndarray | None
    steps: int
    difference_variance: tuple[float, float] | None = None
    use_trunk: bool = False


@dataclass(frozen=True)
class BranchBatch:
    """`Branches` as an update rule wants them, in the network's kind of array.

    observations: (S, features), network inputs at the rollout states; or `FrameStacks`.
    actions: (S * K, A), state by state.
    values: (S, K), standardised if the configuration says so. log_proposal: (S, K) or None.
    trunk_weight: of the trunk's own samples in the objective, 0 to 1; None: they are not in it.
    """

    observations: Any
    actions: Array
    values: Array
    log_proposal: Array | None
    trunk_weight: float | None = None


@dataclass(frozen=True)
class Evaluations:
    """What M pairs of perturbed policies were worth, E episodes of each (evolution strategies).

    noise: (M, P) float32, the directions e, over the network's P parameters.
    scores: (2, M) float64, discounted returns at theta + sigma e and at theta - sigma e, the mean
        over episodes.
    observations: (S, *obs) float32, all that was seen, raw.
    episode_returns, episode_lengths: of the 2 M E episodes: undiscounted, unclipped.
    failed_simulations: episodes that were ended because their simulation failed.
    """

    noise: np.ndarray
    scores: np.ndarray
    observations: np.ndarray
    episode_returns: list[float]
    episode_lengths: list[int]
    failed_simulations: int = 0

    @property
    def num_steps(self) -> int:
        """Simulated environment steps, S."""
        return len(self.observations)


@dataclass(frozen=True)
class Batch:
    """What an update rule learns from.

    observations: (B, features), normalised by the policy's own normaliser; or `FrameStacks`, or
        `Sequences`.
    actions: (B, A), in the policy's own units.
    advantages: (B,), standardised if the configuration says so.
    features: (B, features), the same observations in the value function's kind of array; or
        `FrameStacks`. What the policy remembered stands beside them.
    returns: (B,), the value function's regression targets, numpy.
    values: (B,), what it predicted when they were made, numpy.
    rewards_to_go: (B,), the discounted rewards that followed, numpy; in them V stands only for what
        comes behind a cut, of an episode or of the batch.
    targets: (B,), the same in the network's kind of array, for a network that gives V(s) as well.
    branches: what was tried in some of the states (vine); None on a single path.
    acted: the policy's distributions when it acted, B of them, for a rule that bounds the KL; None
        where they are those of now: the normaliser did not move.
    refreshed: the same samples with advantages, returns and targets by a V that has been fitted
        further, for a rule with several epochs; None: they stay.
    together: which samples are a sequence in time, through which the policy remembers, and which is
        learned from as a whole; None: every sample by itself.
    split: how the batch is spread over processes. Then these are the B_r rows of this process, a
        mean over them says nothing, and `size`, `sum` and `average` are those of the whole batch.
    """

    observations: Any
    actions: Array
    advantages: Array
    features: Any
    returns: np.ndarray
    values: np.ndarray
    rewards_to_go: np.ndarray
    targets: Array
    branches: BranchBatch | None = None
    acted: Distribution | None = None
    together: Together | None = None
    split: Split = WHOLE
    refreshed: Callable[[], Batch] | None = None

    @property
    def size(self) -> int:
        """B, over all processes."""
        return self.split.size(len(self.advantages))

    @property
    def share(self) -> float:
        """B_r / B."""
        return self.split.share

    def sum(self, x: Array) -> Array:
        """The sum over processes, of arrays in place."""
        return self.split.sum(x)

    def average(self, x: Array) -> Array:
        """The mean over the batch, from the mean x over the rows here."""
        return self.split.average(x)
