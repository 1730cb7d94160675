"""What the tasks share: the record of a task, start noise, observations, speed, control cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.simulators.mujoco.physics import Physics

Rows = np.ndarray
"""An array with one row per simulation."""
Fill = Callable[[Rows], None]
Draw = Callable[[np.random.Generator], np.ndarray]
Score = Callable[[Rows, Rows, Rows, Rows, Rows], None]


@dataclass(frozen=True)
class Task:
    """One task over N simulations; the functions read the live arrays of a `Physics`.

    observe(out (N, d)): the observations of the current states.
    progress(out (N,)): the quantity whose value before the step the reward needs.
    score(actions (N, nu), before (N,), after (N,), rewards (N,), terminated (N,)): fills the last
        two from the state after the step and the progress before and after it; terminated
        comes in as False.
    draw(generator) -> (nq + nv,): the coordinates of a new episode.
    """

    observe: Fill
    progress: Fill
    score: Score
    draw: Draw


def nothing(out: Rows) -> None:
    """The progress of a task whose reward looks at one state only."""


def column(values: Rows) -> Fill:
    """Progress that is one column (N,) of the coordinates or of a derived field."""

    def progress(out: Rows) -> None:
        out[:] = values

    return progress


def uniform(env: Any, scale: float) -> Draw:
    """Start coordinates: the model's own plus uniform noise in [-scale, scale]."""
    start = np.concatenate([env.init_qpos, env.init_qvel])

    # One draw of nq + nv numbers takes the same stream as Gymnasium's two draws.
    def draw(generator: np.random.Generator) -> np.ndarray:
        return start + generator.uniform(-scale, scale, start.size)

    return draw


def uniform_normal(env: Any, scale: float) -> Draw:
    """Start coordinates: uniform noise on the positions, Gaussian noise on the velocities."""
    qpos, qvel = env.init_qpos.copy(), env.init_qvel.copy()

    def draw(generator: np.random.Generator) -> np.ndarray:
        positions = qpos + generator.uniform(-scale, scale, qpos.size)
        return np.concatenate([positions, qvel + scale * generator.standard_normal(qvel.size)])

    return draw


def row_sums(values: Rows) -> np.ndarray:
    """(N, k) -> (N,), each row summed in the order in which numpy sums a vector."""
    sums: np.ndarray = np.add.reduce(values, axis=1)
    return sums


def lengths(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N,) Euclidean norms, by the dot product that ``np.linalg.norm`` takes."""
    norms: np.ndarray = np.sqrt(np.vecdot(vectors, vectors))
    return norms


def skipped(env: Any, count: int) -> int:
    """How many leading positions the observation leaves out: `count`, unless told not to."""
    return count if getattr(env, "_exclude_current_positions_from_observation", True) else 0


def coordinates(physics: Physics, skip: int, clip: bool = False) -> Fill:
    """Positions without the first `skip`, then velocities, clipped to [-10, 10] if asked."""
    source, num_positions = physics.coordinates[:, skip:], physics.model.nq - skip

    def copy(out: Rows) -> None:
        out[:] = source

    def copy_clipped(out: Rows) -> None:
        out[:] = source
        velocities = out[:, num_positions:]
        np.maximum(velocities, -10.0, out=velocities)
        np.minimum(velocities, 10.0, out=velocities)

    return copy_clipped if clip else copy


def speed(env: Any, weight: float) -> Callable[[Rows, Rows, Rows], None]:
    """(before, after, out), each (N,): weight * (after - before) / dt."""
    dt = env.dt

    def fill(before: Rows, after: Rows, out: Rows) -> None:
        np.subtract(after, before, out=out)
        np.divide(out, dt, out=out)
        if weight != 1:
            np.multiply(out, weight, out=out)

    return fill


def control_cost(weight: float) -> Callable[[Rows], Rows]:
    """(N, nu) -> (N,): weight * sum of squares, in the precision in which the actions come."""

    def cost(actions: Rows) -> Rows:
        weighted: np.ndarray = weight * row_sums(np.square(actions))
        return weighted

    return cost


def survival(env: Any, v5: bool) -> Callable[[Rows, Rows, Rows], None]:
    """(healthy, rewards, terminated), each (N,): adds the bonus, fills the termination.

    Version 4 pays the bonus on the terminating step too, version 5 does not.
    """
    terminate, bonus = env._terminate_when_unhealthy, env._healthy_reward

    def fill(healthy: Rows, rewards: Rows, terminated: Rows) -> None:
        if terminate and not v5:
            rewards += bonus
        else:
            rewards += healthy * bonus
        if terminate:
            np.logical_not(healthy, out=terminated)

    return fill
