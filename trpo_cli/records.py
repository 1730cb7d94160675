"""What flows through the program: frozen records, every field's shape written down.

T steps of N environments make B = T * N samples. Observations keep the environment's shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trpo_cli.maths.arrays import Array


@dataclass(frozen=True)
class Trajectories:
    """Experience of one iteration, as the single-path sampler collected it.

    observations: (T, N, *obs) float32, raw (not normalised), what the policy acted on.
    actions: (T, N, *act), in the policy's own units (before rescaling or clipping).
    rewards: (T, N) float32, as the environment paid them.
    terminated, truncated: (T, N) bool; terminated wins.
    ends: (E, 2) int, the (t, n) of every episode end, in the order of t then n.
    final_observations: (E, *obs) float32, what each ended episode last saw.
    last_observations: (N, *obs) float32, what each environment sees after the last step.
    episode_returns, episode_lengths: of the episodes that ended, in the order of `ends`:
        undiscounted, unclipped.
    failed_simulations: episodes that were ended because their simulation failed.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ends: np.ndarray
    final_observations: np.ndarray
    last_observations: np.ndarray
    episode_returns: list[float]
    episode_lengths: list[int]
    failed_simulations: int = 0

    @property
    def num_steps(self) -> int:
        """Simulated environment steps, T * N."""
        return int(self.rewards.size)

    @property
    def flat_observations(self) -> np.ndarray:
        """(B, *obs), step-major."""
        return self.observations.reshape(-1, *self.observations.shape[2:])


@dataclass(frozen=True)
class Batch:
    """What an update rule learns from.

    observations: (B, features), normalised by the policy's own normaliser.
    actions: (B, A), in the policy's own units.
    advantages: (B,), standardised if the configuration says so.
    features: (B, features), the same observations for the value function, numpy.
    returns: (B,), the value function's regression targets, numpy.
    """

    observations: Array
    actions: Array
    advantages: Array
    features: np.ndarray
    returns: np.ndarray
