"""N Atari games in worker processes, with shared memory between them and this one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium import spaces

from trpo_cli.errors import RunFailed
from trpo_cli.simulators.atari.process import WorkerProcess, stop
from trpo_cli.simulators.atari.shared import GameSettings, anonymous_file, map_arrays
from trpo_cli.simulators.base import Snapshot, Step, as_ids

_PADDED = ("state", "replay")
_ROWS = ("screen", "stack", "counts", "carried")


class AtariSimulator:
    """The `Simulator` protocol on the Arcade Learning Environment, any game of it.

    num_actions: of the game's action set. threads: worker processes, at most one per environment;
        the results do not depend on it.
    first: the number by which errors name the first of the environments.

    Observations are (frame_stack, H, W) uint8, rewards the game's own. The workers start when
    they are first needed, so that building a simulator only to look at its spaces is quick.
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
        self.num_envs, self._first, self._id = num_envs, first, env_id
        self.frame_stack = settings.stack
        shape = (settings.stack, settings.height, settings.width)
        self.observation_space: spaces.Box = spaces.Box(0, 255, shape, np.uint8)
        self.action_space: spaces.Space[Any] = spaces.Discrete(num_actions)
        self.max_episode_steps = settings.step_limit
        self._settings, self._num_actions = settings, num_actions
        bounds = np.linspace(0, num_envs, max(1, min(threads, num_envs)) + 1).astype(int).tolist()
        self._parts = [range(a, b) for a, b in pairwise(bounds)]
        self._fd = anonymous_file(num_envs, settings)
        self._arrays = map_arrays(self._fd, num_envs, settings)
        self._begun = np.zeros(num_envs, dtype=bool)
        self._workers: list[WorkerProcess] = []
        self._closed = False
        # Also when this object is dropped or the interpreter ends.
        self._finish = weakref.finalize(self, _finish, self._workers, self._fd)

    def _start(self) -> None:
        if self._closed:
            raise RunFailed(f"env={self._id}: the simulator is closed.")
        if self._workers:
            return
        last = self._first - 1
        for part in self._parts:
            names = f"environments {self._first + part.start} to {last + part.stop}"
            label = f"env={self._id}, {names}"
            self._workers.append(WorkerProcess(self._fd, label, self._first))
        for worker, part in zip(self._workers, self._parts, strict=True):
            worker.ask("start", self._settings, self.num_envs, part.start, part.stop)
        for worker in self._workers:
            worker.answer()

    def _all(self, exchange: Callable[[], Any]) -> Any:
        """Talk to the workers. After anything that interrupts it they are out of step: ended."""
        try:
            self._start()
            return exchange()
        except BaseException:
            self.close()
            raise

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs).tolist()
        seeds = [None] * len(chosen) if seed is None else [int(value) for value in seed]
        self._tell("reset", dict(zip(chosen, seeds, strict=True)))
        self._begun[chosen] = True
        return self._arrays.observations

    def _tell(self, name: str, what: dict[int, Any]) -> None:
        """Call a method of every worker that is concerned, with its share of `what`."""

        def exchange() -> None:
            asked = []
            for worker, part in zip(self._workers, self._parts, strict=True):
                share = {i: value for i, value in what.items() if i in part}
                if share:
                    worker.ask(name, share)
                    asked.append(worker)
            for worker in asked:
                worker.answer()

        self._all(exchange)

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
        self._all(self._step)
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

    def _step(self) -> None:
        for worker in self._workers:
            worker.step()
        for worker in self._workers:
            worker.wait()

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        """Every snapshot is portable."""
        chosen = as_ids(ids, self.num_envs).tolist()
        self._check_begun(chosen)
        states: dict[int, dict[str, Any]] = {}

        def exchange() -> None:
            shares = [[i for i in chosen if i in part] for part in self._parts]
            for worker, share in zip(self._workers, shares, strict=True):
                worker.ask("get_state", share)
            for worker, share in zip(self._workers, shares, strict=True):
                states.update(zip(share, worker.answer(), strict=True))

        self._all(exchange)
        rows = [states[i] for i in chosen]
        return Snapshot(_stacked(rows), [row["generator"] for row in rows])

    def _check_begun(self, chosen: list[int]) -> None:
        for i in chosen:
            if not self._begun[i]:
                raise ValueError(f"environment {i} has not been reset")

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        chosen = as_ids(ids, self.num_envs).tolist()
        self._check_begun(chosen)
        self._tell("reseed", dict(zip(chosen, map(int, seeds), strict=True)))

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen, arrays = as_ids(ids, self.num_envs, snapshot).tolist(), snapshot.arrays
        states = {}
        for row, i in enumerate(chosen):
            state = {name: arrays[name][row] for name in _ROWS}
            for name in _PADDED:
                state[name] = arrays[name][row, : arrays[f"{name}_length"][row]]
            states[i] = {**state, "generator": snapshot.items[row]}
        self._tell("set_state", states)
        self._begun[chosen] = True
        return self._arrays.observations

    def close(self) -> None:
        self._closed = True
        self._finish()


def _finish(workers: list[WorkerProcess], fd: int) -> None:
    os.close(fd)
    stop(workers)


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
