"""Rewards in units of the deviation of the discounted return.

    R_t = r_t + gamma R_(t-1), 0 before an episode's first step
    r  -> clip(r / std(R), -bound, bound)

with the standard deviation of all R so far (the code that came with the PPO paper, baselines'
`VecNormalize`, and Stable-Baselines3's; Engstrom et al. 2020, 2005.12729, section 3). R runs
forwards in time: it is no return to go, and only serves as a scale.

A departure: those programs update the deviation at every step, and divide each step's rewards by
another one; here a batch comes in first and is then divided by one number.
"""

from __future__ import annotations

import math

import numpy as np

from trpo_cli.data.records import Trajectories
from trpo_cli.distributed.split import WHOLE, Split


class RewardScaler:
    """Remembers the statistics of R (float64), and R itself in each environment.

    bound: of scaled rewards; None: they have none.
    """

    def __init__(self, discount: float, bound: float | None) -> None:
        self._discount, self._bound = discount, bound
        self._count = self._mean = self._square = 0.0  # the last: of deviations from the mean
        self._running = np.zeros(0)  # R of all environments, those of other processes too

    def __call__(
        self, rewards: np.ndarray, over: np.ndarray, source: Trajectories, split: Split = WHOLE
    ) -> np.ndarray:
        """Scaled rewards (T, N) float32, the statistics of these among the others already.

        over: (T, N) bool, where an episode ends. source: which environments they are of, and how
        far their episodes were.
        """
        own = slice(source.first_env, source.first_env + rewards.shape[1])
        everything = np.zeros(source.all_envs or rewards.shape[1])
        running = self._running[own] if len(self._running) else everything[own].copy()
        if source.first_times is not None:  # a resumption may have had to begin new episodes
            running[source.first_times == 0] = 0.0
        returns = np.empty(rewards.shape)
        for t in range(len(rewards)):
            returns[t] = running = self._discount * running + rewards[t]
            running = np.where(over[t], 0.0, running)
        everything[own] = running
        self._running = split.sum(everything)
        self._merge(returns.reshape(-1), split)
        scaled = (rewards / self._deviation()).astype(np.float32)
        return scaled if self._bound is None else np.clip(scaled, -self._bound, self._bound)

    def _merge(self, returns: np.ndarray, split: Split) -> None:
        """Chan et al. 1983, as the normaliser of observations does."""
        count = split.size(len(returns))
        mean = float(split.sum(returns.sum())) / count
        square = float(split.sum(((returns - mean) ** 2).sum()))
        total, delta = self._count + count, mean - self._mean
        self._square += square + delta**2 * self._count * count / total
        self._mean += delta * count / total
        self._count = total

    def _deviation(self) -> float:
        deviation = math.sqrt(self._square / self._count)
        # The rounding of equal returns is no scale.
        return deviation if deviation > 1e-6 * abs(self._mean) else 1.0

    def state(self) -> dict[str, np.ndarray]:
        statistics = np.array([self._count, self._mean, self._square])
        return {"statistics": statistics, "running": self._running}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Nothing is known to a run that was without the scaling so far."""
        if state:
            self._count, self._mean, self._square = state["statistics"].tolist()
            self._running = np.array(state["running"])
