"""A process that steps some Gymnasium environments: ``python -m trpo_cli.simulators.worker``.

Started by `WorkerProcess`, never by hand; `pipes` says how they talk.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from trpo_cli.config import EnvConfig
from trpo_cli.simulators.base import Snapshot, together
from trpo_cli.simulators.gym.parallel import Layout
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.workers.memory import map_arrays
from trpo_cli.simulators.workers.pipes import serve


class EnvironmentsWorker:
    """Environments `start` to `stop` of a `ParallelSimulator`; first: the number of its own."""

    def __init__(
        self,
        arrays_fd: int,
        env: EnvConfig,
        spec: EnvSpec,
        layout: Layout,
        first: int,
        num_envs: int,
        start: int,
        stop: int,
    ) -> None:
        if ":" not in env.id:  # then no module that is imported here registers it
            gymnasium.registry.setdefault(spec.id, spec)
        self.current, self._start = start, start
        self._simulator = make_simulator(env, stop - start, 1, first + start, workers=0)
        # It has been tried out, in the run's process, before a snapshot is asked for.
        vars(self._simulator)["why_not_restorable"] = ""
        own = slice(start, stop)
        arrays = map_arrays(arrays_fd, layout.fields(num_envs))
        self._arrays = {name: array[own] for name, array in arrays.items()}

    def step(self) -> None:
        arrays = self._arrays
        moving = arrays["moving"]
        if not moving.any():
            for name in ("rewards", "terminated", "truncated"):
                arrays[name][:] = 0
            return
        ids = None if moving.all() else np.flatnonzero(moving)
        step = self._simulator.step(arrays["actions"], ids)
        for name in ("observations", "rewards", "terminated", "truncated"):
            arrays[name][...] = getattr(step, name)
        arrays["final_observations"][step.ended] = step.final_observations

    def reset(self, seeds: dict[int, int | None]) -> None:
        given = [seed for seed in seeds.values() if seed is not None]  # all of them, or none
        observations = self._simulator.reset(self._own(seeds), seed=given or None)
        self._arrays["observations"][...] = observations

    def snapshot(self, ids: dict[int, None]) -> Snapshot:
        found: Snapshot = self._simulator.snapshot(self._own(ids))
        return found

    def reseed(self, seeds: dict[int, int]) -> None:
        self._simulator.reseed(self._own(seeds), list(seeds.values()))

    def restore(self, rows: dict[int, Snapshot]) -> None:
        snapshot = together(list(rows.values()))
        self._arrays["observations"][...] = self._simulator.restore(snapshot, self._own(rows))

    def _own(self, numbers: dict[int, Any]) -> list[int]:
        return [i - self._start for i in numbers]


if __name__ == "__main__":
    serve(EnvironmentsWorker)
