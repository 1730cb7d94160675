"""Single-path sampling: T steps of N environments under one frozen policy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from trpo_cli.errors import RunFailed, UserError
from trpo_cli.models.policies import Policy
from trpo_cli.records import Trajectories
from trpo_cli.simulators.base import Simulator, Snapshot


class SinglePathSampler:
    """Collects `steps` steps from each environment of several simulators ("groups").

    Each group is stepped by a thread of its own: while one group's physics runs, another group's
    policy is evaluated, so neither a core nor the interpreter waits. A group touches nothing but
    its own columns, and the noise of an iteration is drawn beforehand for all: the result does
    not depend on the number of threads.

    Episodes go on from one iteration to the next.
    """

    def __init__(
        self, simulators: list[Simulator], steps: int, seeds: list[int], parallel: bool
    ) -> None:
        self.simulators, self.steps = simulators, steps
        sizes = [simulator.num_envs for simulator in simulators]
        ends = np.cumsum(sizes)
        self.columns = [slice(int(e - n), int(e)) for n, e in zip(sizes, ends, strict=True)]
        self.num_envs = int(ends[-1])
        self._start(seeds)
        self._closed = False
        self._pool = ThreadPoolExecutor(len(simulators)) if parallel else None

    def _start(self, seeds: list[int]) -> None:
        """New episodes everywhere, one seed per environment."""
        self._observations = [
            np.array(simulator.reset(seed=seeds[columns]))
            for simulator, columns in zip(self.simulators, self.columns, strict=True)
        ]
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)

    def collect(self, policy: Policy, generator: np.random.Generator) -> Trajectories:
        """One iteration's experience: steps x environments samples."""
        shape = (self.steps, self.num_envs)
        obs_shape = self.simulators[0].observation_space.shape
        failed = self._failed_simulations()
        noise = policy.noise(generator, shape)
        observations = np.empty((*shape, *obs_shape), dtype=np.float32)
        rewards = np.empty(shape, dtype=np.float32)
        terminated, truncated = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
        actions: list[np.ndarray] = [np.empty(0)] * len(self.simulators)
        ends: list[list[tuple[int, int, np.ndarray, float, int]]] = [[] for _ in self.simulators]

        def run(group: int) -> None:
            simulator, columns = self.simulators[group], self.columns[group]
            current, first = self._observations[group], columns.start
            returns, lengths = self._returns[columns], self._lengths[columns]
            taken = []
            for t in range(self.steps):
                if self._closed:  # by a main thread that was interrupted meanwhile
                    return
                observations[t, columns] = current
                # What the policy acts on is what is stored, to the bit.
                chosen = policy.act(observations[t, columns], noise[t, columns])
                taken.append(chosen)
                try:
                    step = simulator.step(policy.to_env(chosen))
                except RunFailed as error:
                    error.arrays = {
                        "observations": observations[: t + 1, columns],
                        "actions": np.stack(taken),
                        "rewards": rewards[:t, columns],
                    }
                    raise
                rewards[t, columns] = step.rewards
                terminated[t, columns] = step.terminated
                truncated[t, columns] = step.truncated
                returns += step.rewards
                lengths += 1
                for row, i in enumerate(step.ended):
                    final = np.array(step.final_observations[row], dtype=np.float32)
                    ends[group].append((t, first + int(i), final, returns[i], int(lengths[i])))
                    returns[i], lengths[i] = 0.0, 0
                current = step.observations
            self._observations[group][...] = current
            actions[group] = np.stack(taken)

        groups = range(len(self.simulators))
        if self._pool is None:
            for group in groups:
                run(group)
        else:
            list(self._pool.map(run, groups))

        finished = sorted((end for group in ends for end in group), key=lambda end: end[:2])
        return Trajectories(
            observations=observations,
            actions=np.concatenate(actions, axis=1),
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            ends=np.array([end[:2] for end in finished], dtype=np.int64).reshape(-1, 2),
            final_observations=np.array([end[2] for end in finished], dtype=np.float32).reshape(
                -1, *obs_shape
            ),
            last_observations=np.concatenate(self._observations).astype(np.float32),
            episode_returns=[float(end[3]) for end in finished],
            episode_lengths=[end[4] for end in finished],
            failed_simulations=self._failed_simulations() - failed,
        )

    def _failed_simulations(self) -> int:
        return sum(simulator.failed_simulations for simulator in self.simulators)

    @property
    def not_restorable(self) -> str:
        """Why the episodes in progress cannot be saved; empty when they can."""
        return self.simulators[0].restorable

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The episodes in progress: arrays, and what JSON holds."""
        arrays = {"returns": self._returns, "lengths": self._lengths}
        items: list[Any] = []
        for group, simulator in enumerate(self.simulators):
            arrays[f"observations/{group}"] = self._observations[group]
            if simulator.restorable:
                items.append(None)
                continue
            snapshot = simulator.snapshot()
            arrays.update({f"simulator/{group}/{k}": v for k, v in snapshot.arrays.items()})
            items.append(snapshot.items)
        return arrays, {"simulators": items}

    def load_state(
        self, arrays: dict[str, np.ndarray], state: dict[str, Any], generator: np.random.Generator
    ) -> str:
        """Go on with the episodes of a saved state; returns why that was not possible, or "".

        New episodes then start everywhere, their seeds drawn from `generator`.
        """
        try:
            for group, simulator in enumerate(self.simulators):
                items, prefix = state["simulators"][group], f"simulator/{group}/"
                if items is None:
                    raise UserError(simulator.restorable or "their state was not saved")
                parts = {
                    k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)
                }
                simulator.restore(Snapshot(parts, items))
        except UserError as error:
            words = generator.integers(2**32, size=self.num_envs)
            self._start([int(word) for word in words])
            return str(error).rstrip(".")
        groups = range(len(self.simulators))
        self._observations = [np.array(arrays[f"observations/{group}"]) for group in groups]
        self._returns[:] = arrays["returns"]
        self._lengths[:] = arrays["lengths"]
        return ""

    def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown()
        for simulator in self.simulators:
            simulator.close()
