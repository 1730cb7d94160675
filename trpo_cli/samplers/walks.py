"""What groups of environments record as they are stepped by their own methods, and all of it as
trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trpo_cli.data.records import Trajectories
from trpo_cli.data.sequences import Memory
from trpo_cli.samplers.recorders import Recorder, join
from trpo_cli.simulators.base import Step


@dataclass(frozen=True)
class Steps:
    """Arrays (T, N) that the groups fill side by side, each its own columns. states: (T, N, S),
    what the policy remembered before each step."""

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    lives_lost: np.ndarray
    states: np.ndarray

    @classmethod
    def empty(cls, steps: int, num_envs: int, state_size: int) -> Steps:
        shape = (steps, num_envs)
        return cls(
            np.empty(shape, dtype=np.float32),
            np.empty(shape, dtype=bool),
            np.empty(shape, dtype=bool),
            np.zeros(shape, dtype=bool),
            np.empty((*shape, state_size), dtype=np.float32),
        )

    def write(self, t: int, columns: slice, step: Step) -> None:
        self.rewards[t, columns] = step.rewards
        self.terminated[t, columns] = step.terminated
        self.truncated[t, columns] = step.truncated
        if step.lives_lost is not None:
            self.lives_lost[t, columns] = step.lives_lost


@dataclass(frozen=True)
class Walk:
    """One group's part besides its columns of `Steps`.

    actions: (T, n, A). ends: step, environment, return and length of each episode that ended, in
    this order. forgotten: what the policy remembered at those ends, (S,) each.
    """

    actions: np.ndarray
    ends: Sequence[tuple[int, int, float, int]]
    forgotten: Sequence[np.ndarray]


def joined(
    steps: Steps, walks: Sequence[Walk], recorders: Sequence[Recorder], states: np.ndarray
) -> Trajectories:
    """The groups' walks side by side, their episodes in the order in which they ended. states:
    (N, S), what the policy remembers after the last step."""
    every = [end for walk in walks for end in walk.ends]
    order = sorted(range(len(every)), key=lambda k: every[k][:2])
    finished = [every[k] for k in order]
    observations, last, final = join(recorders, np.array(order, dtype=np.int64))
    memory = None
    if size := states.shape[1]:
        forgotten = [state for walk in walks for state in walk.forgotten]
        over = (steps.terminated | steps.truncated)[:-1]
        memory = Memory(
            steps.states,
            states,
            np.array([forgotten[k] for k in order], np.float32).reshape(-1, size),
            np.concatenate([np.zeros((1, len(states)), dtype=bool), over]),
        )
    return Trajectories(
        observations=observations,
        actions=np.concatenate([walk.actions for walk in walks], axis=1),
        rewards=steps.rewards,
        terminated=steps.terminated,
        truncated=steps.truncated,
        ends=np.array([end[:2] for end in finished], dtype=np.int64).reshape(-1, 2),
        final_observations=final,
        last_observations=last,
        episode_returns=[end[2] for end in finished],
        episode_lengths=[end[3] for end in finished],
        lives_lost=steps.lives_lost if steps.lives_lost.any() else None,
        memory=memory,
    )
