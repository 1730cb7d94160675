"""The physics of an iteration once more, without anything else: what its collection cannot beat.

A policy that has learned to stand has its feet on the ground, and contacts cost more than the
flight of a random one. So beside the ceiling of random actions there is this one: the states and
actions that an iteration of training had, stepped again by a bare loop over `mj_step` on all cores.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from trpo_cli.simulators.mujoco.native import mj_step
from trpo_cli.simulators.mujoco.physics import DATA, FIRST_FIELD, Places
from trpo_cli.simulators.mujoco.stepping import put, take
from trpo_cli.simulators.mujoco.tasks.parts import fields_at
from trpo_cli.system.machine import usable_cores


@numba.njit(nogil=True)
def loop(world: Any, place: Any, simulations: Any, i: int, commands: Any) -> None:
    """Simulation i under commands (T, U)."""
    f = fields_at(world.constants, place[FIRST_FIELD:])
    put(world, place, simulations, i)
    for t in range(len(commands)):
        for k in range(len(f.ctrl)):
            f.ctrl[k] = commands[t, k]
        for _ in range(world.frame_skip):
            mj_step(world.model, place[DATA])
    take(world, place, simulations, i)


class Replay:
    """Notes what a training collects, and steps it again. training: on MuJoCo, one group."""

    def __init__(self, training: Any) -> None:
        self._training = training
        (self._simulator,) = training.sampler.simulators
        threads = usable_cores()
        self._places = Places(self._simulator.model, threads)
        self._pool = ThreadPoolExecutor(threads)
        collect = training.sampler.collect

        def noted(*arguments: Any) -> Any:
            self._start = self._simulator.snapshot()
            self._found = collect(*arguments)
            return self._found

        training.sampler.collect = noted

    def seconds(self) -> float:
        """What the physics of the last iteration takes; leaves everything as it was."""
        simulator, record = self._simulator, self._found
        now, envs = simulator.snapshot(), record.actions.shape[1]
        simulator.restore(self._start)
        commands = self._training.policy.to_env(record.actions.reshape(-1, record.actions.shape[2]))
        commands = commands.reshape(record.actions.shape).astype(np.float64)
        own = [np.ascontiguousarray(commands[:, n]) for n in range(envs)]
        ends = [record.ends[record.ends[:, 1] == n, 0] + 1 for n in range(envs)]
        waiting = list(range(envs))

        def run(place: Any) -> None:
            while waiting:
                try:
                    n = waiting.pop()
                except IndexError:
                    return
                first = 0
                for end in ends[n].tolist():
                    loop(simulator.world, place, simulator.simulations, n, own[n][first:end])
                    simulator.begin(n, place)
                    first = end
                loop(simulator.world, place, simulator.simulations, n, own[n][first:])

        loop(
            simulator.world, self._places.addresses[0], simulator.make_rows(1), 0, own[0][:0]
        )  # compiled
        began = time.perf_counter()
        list(self._pool.map(run, self._places.addresses))
        seconds = time.perf_counter() - began
        again = simulator.simulations.state
        if not np.array_equal(again, now.arrays["state"]):
            raise RuntimeError("the same actions led elsewhere")
        simulator.restore(now)
        return seconds
