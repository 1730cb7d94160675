"""Compiled stepping: simulations are put into places, stepped, observed, scored, taken out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.kernels.memory import borrow, ints
from trpo_cli.simulators.mujoco.native import (
    FULL_STATE,
    mj_forward,
    mj_getState,
    mj_resetData,
    mj_rnePostConstraint,
    mj_setState,
    mj_step,
)
from trpo_cli.simulators.mujoco.physics import (
    DATA,
    FIRST_FIELD,
    FIRST_WARNING,
    LAST_WARNING,
    WARNINGS,
)
from trpo_cli.simulators.mujoco.tasks import observe, progress, score
from trpo_cli.simulators.mujoco.tasks.parts import Constants, fields_at


class World(NamedTuple):
    """What all simulations of one kind share. model: the address of the MjModel; limit: steps
    after which an episode is cut; forces: whether contact forces are wanted after a step."""

    model: int
    frame_skip: int
    limit: int
    forces: bool
    constants: Constants


class Simulations(NamedTuple):
    """N simulations that stand still: everything that decides their future, a row each.

    state: (N, nstate). observations: (N, d) float64, what they show. progress: (N,), see
    `tasks.progress`. elapsed: (N,) int64, steps of the episode so far.
    """

    state: np.ndarray
    observations: np.ndarray
    progress: np.ndarray
    elapsed: np.ndarray


@compiled
def put(world: World, place: np.ndarray, simulations: Simulations, i: int) -> None:
    """Put simulation i into a place. Derived fields show it after its next step only."""
    mj_setState(world.model, place[DATA], simulations.state[i].ctypes.data, np.int32(FULL_STATE))
    _clear_warnings(place)


@compiled
def take(world: World, place: np.ndarray, simulations: Simulations, i: int) -> None:
    """Take the state of simulation i out of its place."""
    mj_getState(world.model, place[DATA], simulations.state[i].ctypes.data, np.int32(FULL_STATE))


@compiled
def _clear_warnings(place: np.ndarray) -> None:
    warnings = ints(place[WARNINGS], (LAST_WARNING + 1, 2))
    for k in range(FIRST_WARNING, LAST_WARNING + 1):
        warnings[k, 0] = 0


@compiled
def _unstable(place: np.ndarray) -> bool:
    """Whether MuJoCo has found numbers that are none, and put the simulation back to its start."""
    warnings = ints(place[WARNINGS], (LAST_WARNING + 1, 2))
    found = 0
    for k in range(FIRST_WARNING, LAST_WARNING + 1):
        found += warnings[k, 0]
    return found > 0


@compiled
def advance(
    world: World, place: np.ndarray, simulations: Simulations, i: int, action: np.ndarray
) -> tuple[float, bool, bool, bool]:
    """One control step of simulation i, which is in a place: reward, terminated, truncated,
    failed.

    A simulation that becomes unstable ends its episode, with no reward and its last good
    observation.
    """
    c, elapsed = world.constants, simulations.elapsed
    f = fields_at(c, place[FIRST_FIELD:])
    for k in range(c.nu):
        f.ctrl[k] = action[k]
    for _ in range(world.frame_skip):
        mj_step(world.model, place[DATA])
    elapsed[i] += 1
    if _unstable(place):
        return 0.0, True, False, True
    if world.forces:
        mj_rnePostConstraint(world.model, place[DATA])
    before, after = simulations.progress[i], progress(c, f)
    simulations.progress[i] = after
    observe(c, f, simulations.observations[i])
    reward, terminated = score(c, f, action, before, after)
    return reward, terminated, elapsed[i] >= world.limit and not terminated, False


@compiled
def restart(
    world: World, place: np.ndarray, simulations: Simulations, i: int, start: np.ndarray
) -> None:
    """Begin a new episode of simulation i at the coordinates (nq + nv,), and leave it there."""
    c = world.constants
    f = fields_at(c, place[FIRST_FIELD:])
    mj_resetData(world.model, place[DATA])
    for k in range(c.nq):
        f.qpos[k] = start[k]
    for k in range(c.nv):
        f.qvel[k] = start[c.nq + k]
    mj_forward(world.model, place[DATA])
    simulations.elapsed[i] = 0
    simulations.progress[i] = progress(c, f)
    observe(c, f, simulations.observations[i])
    take(world, place, simulations, i)


@compiled
def step_rows(
    world: World,
    place: np.ndarray,
    simulations: Simulations,
    rows: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    failed: np.ndarray,
) -> None:
    """One control step of the simulations `rows`, one after the other in one place."""
    world, place, simulations = borrow((world, place, simulations))
    for i in rows:
        put(world, place, simulations, i)
        rewards[i], terminated[i], truncated[i], failed[i] = advance(
            world, place, simulations, i, actions[i]
        )
        take(world, place, simulations, i)
