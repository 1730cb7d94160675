"""N Atari games in worker processes, with shared memory between them and this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from trpo_cli.simulators.atari.shared import GameSettings, anonymous_file, map_arrays
from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.workers.team import Team

_PADDED = ("state", "replay")
_ROWS = ("screen", "stack", "counts", "carried")


class AtariSimulator:
    """The `Simulator` protocol on the Arcade Learning Environment, any game of it.

    num_actions: of the game's action set. threads: worker processes, at most one per environment;
        the results do not depend on it.
    first: the number by which errors name the first of the environments.

    Observations are (frame_stack, H, W) uint8, rewards the game's own.
    """

    backend = "atari"
    action_start = 0
    failed_simulations = 0
    why_not_restorable = why_not_branchable = ""
    remarks: Sequence[str] = ()

    def __init__(
        self,
        settings: GameSettings,
        env_id: str,
        num_actions: int,
        num_envs: int,
        threads: int,
        first: int = 0,
    ) -> None:
        self.num_envs = num_envs
        self.frame_stack = settings.stack
        shape = (settings.stack, settings.height, settings.width)
        self.observation_space: spaces.Box = spaces.Box(0, 255, shape, np.uint8)
        self.action_space: spaces.Space[Any] = spaces.Discrete(num_actions)
        self.max_episode_steps = settings.step_limit
        self._num_actions = num_actions
        fd = anonymous_file(num_envs, settings)
        self._arrays = map_arrays(fd, num_envs, settings)
        self._begun = np.zeros(num_envs, dtype=bool)
        self._team = Team(
            "trpo_cli.simulators.atari.worker",
            env_id,
            fd,
            num_envs,
            threads,
            first,
            [settings],
            silent=True,  # the emulator talks
        )

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs).tolist()
        self._team.reset(chosen, seed)
        self._begun[chosen] = True
        return self._arrays.observations

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        arrays = self._arrays
        actions = np.asarray(actions)
        if actions.shape != arrays.actions.shape:
            raise ValueError(f"actions {actions.shape}, expected {arrays.actions.shape}")
        if actions.min() < 0 or actions.max() >= self._num_actions:
            raise ValueError(f"actions {actions} are not all below {self._num_actions}")
        arrays.moving[:] = ids is None
        if ids is not None:
            arrays.moving[ids] = True
            for still in (arrays.rewards, arrays.terminated, arrays.truncated, arrays.lives_lost):
                still[:] = 0
        if not self._begun[arrays.moving].all():
            raise ValueError("the environments have not all been reset")
        arrays.actions[:] = actions
        self._team.step()
        ended = np.flatnonzero(arrays.terminated | arrays.truncated)
        return Step(
            arrays.observations,
            arrays.rewards,
            arrays.terminated,
            arrays.truncated,
            ended,
            arrays.final_observations[ended],
            arrays.lives_lost,
        )

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        """Every snapshot is portable."""
        chosen = as_ids(ids, self.num_envs).tolist()
        self._check_begun(chosen)
        states: dict[int, dict[str, Any]] = {}
        for answer in self._team.ask("get_state", dict.fromkeys(chosen)):
            states.update(answer)
        rows = [states[i] for i in chosen]
        return Snapshot(_stacked(rows), [row["generator"] for row in rows])

    def _check_begun(self, chosen: list[int]) -> None:
        for i in chosen:
            if not self._begun[i]:
                raise ValueError(f"environment {i} has not been reset")

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        chosen = as_ids(ids, self.num_envs).tolist()
        self._check_begun(chosen)
        self._team.ask("reseed", dict(zip(chosen, map(int, seeds), strict=True)))

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen, arrays = as_ids(ids, self.num_envs, snapshot).tolist(), snapshot.arrays
        states = {}
        for row, i in enumerate(chosen):
            state = {name: arrays[name][row] for name in _ROWS}
            for name in _PADDED:
                state[name] = arrays[name][row, : arrays[f"{name}_length"][row]]
            states[i] = {**state, "generator": snapshot.items[row]}
        self._team.ask("set_state", states)
        self._begun[chosen] = True
        return self._arrays.observations

    def close(self) -> None:
        self._team.close()


def _stacked(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """One array per field; those of unequal length with zeros behind."""
    arrays = {name: np.array([row[name] for row in rows]) for name in _ROWS}
    for name in _PADDED:
        lengths = np.array([len(row[name]) for row in rows], dtype=np.int64)
        padded = np.zeros((len(rows), lengths.max(initial=0)), dtype=np.uint8)
        for row, into in zip(rows, padded, strict=True):
            into[: len(row[name])] = row[name]
        arrays[name], arrays[f"{name}_length"] = padded, lengths
    return arrays
