"""N MuJoCo environments of Gymnasium's family, bit for bit as Gymnasium's own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding

from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.mujoco.native import FULL_STATE
from trpo_cli.simulators.mujoco.physics import Places
from trpo_cli.simulators.mujoco.stepping import Simulations, World, restart, step_rows
from trpo_cli.simulators.mujoco.tasks import Entry


class MujocoSimulator:
    """The `Simulator` protocol on compiled loops over MuJoCo.

    template: one environment of the task, as Gymnasium's constructor leaves it (unwrapped). Its
        model and its constants are read here, and none of its state.
    entry: the task's compiled form, v5: which of the two versions of the task it is.

    A simulation that becomes unstable ends its episode: terminated, reward 0, and its last good
    observation as the final one; `failed_simulations` counts them. (Gymnasium would go on from
    MuJoCo's silent reset to the model's start, with whatever reward that jump gives.) Results do
    not depend on `threads`.
    """

    backend = "mujoco"
    frame_stack = 1
    action_start = 0
    why_not_restorable = why_not_branchable = ""
    remarks: Sequence[str] = ()

    def __init__(
        self,
        template: Any,
        entry: Entry,
        v5: bool,
        num_envs: int,
        threads: int,
        max_episode_steps: int | None,
    ) -> None:
        self.num_envs, self.threads = num_envs, threads
        self.observation_space: spaces.Box = template.observation_space
        self.action_space: spaces.Space[Any] = template.action_space
        self.max_episode_steps = max_episode_steps
        self.failed_simulations = 0
        self.model = model = template.model
        constants = entry.constants(template, v5)
        limit = np.iinfo(np.int64).max if max_episode_steps is None else max_episode_steps
        self.world = World(
            model._address,
            int(template.frame_skip),
            int(limit),
            constants.use_contact_forces,
            constants,
        )
        self.draw = entry.draw(template, v5)
        self.simulations = self.make_rows(num_envs)
        self.generators = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self.places = Places(model, min(threads, num_envs))
        self._pool = ThreadPoolExecutor(threads) if min(threads, num_envs) > 1 else None
        self._rewards = np.zeros(num_envs)
        self._terminated = np.zeros(num_envs, dtype=bool)
        self._truncated = np.zeros(num_envs, dtype=bool)
        self._failed = np.zeros(num_envs, dtype=bool)
        self._everything = np.arange(num_envs)
        self._none_ended = np.zeros(0, dtype=np.int64)
        self._no_observations = np.zeros((0, *self.observation_space.shape))

    def make_rows(self, count: int) -> Simulations:
        """`count` simulations of this kind, none of which has begun."""
        size = mujoco.mj_stateSize(self.model, mujoco.mjtState(FULL_STATE))
        return Simulations(
            np.zeros((count, size)),
            np.zeros((count, *self.observation_space.shape)),
            np.zeros(count),
            np.zeros(count, dtype=np.int64),
        )

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs)
        if seed is not None:
            self.reseed(chosen.tolist(), seed)
        for i in chosen.tolist():
            self.begin(i)
        return self.simulations.observations

    def begin(self, i: int, place: np.ndarray | None = None) -> None:
        """Start a new episode of simulation i, its generator as it is.

        place: the addresses of the one to do it in; None: this simulator's own.
        """
        start = self.draw(self.generators[i])
        place = self.places.addresses[0] if place is None else place
        restart(self.world, place, self.simulations, i, start)

    def start(self, seed: int) -> np.ndarray:
        """(nq + nv,): where an episode with this seed begins."""
        return self.draw(seeding.np_random(int(seed))[0])

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        actions = np.ascontiguousarray(actions)
        if actions.shape != (self.num_envs, self.world.constants.nu):
            expected = (self.num_envs, self.world.constants.nu)
            raise ValueError(f"actions {actions.shape}, expected {expected}")
        rows = self._everything if ids is None else np.asarray(ids, dtype=np.int64)
        for array in (self._terminated, self._truncated, self._failed):
            array[:] = False
        self._rewards[:] = 0.0
        self._step(rows, actions)
        self.failed_simulations += int(np.count_nonzero(self._failed))
        observations = self.simulations.observations
        over = np.flatnonzero(self._terminated | self._truncated)
        final = self._no_observations
        if len(over):
            final = observations[over]
            for i in over.tolist():
                self.begin(i)
        return Step(observations, self._rewards, self._terminated, self._truncated, over, final)

    def _step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        def run(part: np.ndarray, place: np.ndarray) -> None:
            step_rows(
                self.world, place, self.simulations, part, actions,
                self._rewards, self._terminated, self._truncated, self._failed,
            )  # fmt: skip

        places = self.places.addresses
        if self._pool is None:
            run(rows, places[0])
        else:
            list(self._pool.map(run, np.array_split(rows, len(places)), places))

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        chosen = as_ids(ids, self.num_envs)
        arrays = {name: rows[chosen] for name, rows in self.simulations._asdict().items()}
        return Snapshot(arrays, [self.generators[i].bit_generator.state for i in chosen])

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs, snapshot)
        for name, rows in self.simulations._asdict().items():
            rows[chosen] = snapshot.arrays[name]
        for i, state in zip(chosen, snapshot.items, strict=True):
            self.generators[i].bit_generator.state = state
        return self.simulations.observations

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        for i, seed in zip(ids, seeds, strict=True):
            self.generators[i] = seeding.np_random(int(seed))[0]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
