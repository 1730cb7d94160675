"""Reacher, Pusher and the two inverted pendulums."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.kernels.memory import copy
from trpo_cli.simulators.mujoco.native import (
    COS,
    FLOAT_POWER,
    SIN,
    VECDOT,
    dot,
    elementwise,
    pairwise,
)
from trpo_cli.simulators.mujoco.tasks.parts import (
    BESIDE_GOAL,
    DOUBLE_PENDULUM,
    IN_DISC,
    PENDULUM,
    PUSHER,
    REACHER,
    Constants,
    Draw,
    Fields,
    Start,
    clip,
    constants,
    coordinates,
    finite,
    starts,
    weighted,
)

GOAL_RADIUS = 0.2
"""Reacher's goal lies within this distance of the origin."""

OBJECT_LOW, OBJECT_HIGH = (-0.3, -0.2), (0.0, 0.2)
"""Pusher's object lies in this rectangle, relative to the goal..."""

OBJECT_DISTANCE = 0.17
"""...and at least so far from it."""


@compiled
def distance(c: Constants, f: Fields, one: int, other: int) -> float:
    """``np.linalg.norm`` between two bodies: numpy's root of a dot product."""
    vector = f.xpos[one] - f.xpos[other]
    return np.sqrt(dot(c.loops[VECDOT], vector, vector))


def reacher(env: Any, v5: bool) -> Constants:
    """Reacher: fingertip to target. Version 4 scores the distance before the step."""
    model = env.model
    return constants(
        env,
        REACHER,
        v5,
        bodies=[model.body("fingertip").id, model.body("target").id],
        reward_dist_weight=env._reward_dist_weight if v5 else 1.0,
        reward_control_weight=env._reward_control_weight if v5 else 1.0,
    )


@compiled
def observe_reacher(c: Constants, f: Fields, out: np.ndarray) -> None:
    theta = f.qpos[:2]
    elementwise(c.loops[COS], theta, out[0:2])
    elementwise(c.loops[SIN], theta, out[2:4])
    copy(f.qpos[2:], out[4:])
    copy(f.qvel[:2], out[2 + c.nq :])
    for k in range(2 if c.v5 else 3):
        out[4 + c.nq + k] = f.xpos[c.bodies[0], k] - f.xpos[c.bodies[1], k]


@compiled
def progress_reacher(c: Constants, f: Fields) -> float:
    return -distance(c, f, c.bodies[0], c.bodies[1])


@compiled
def score_reacher(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    reward_dist = (after if c.v5 else before) * c.reward_dist_weight
    return reward_dist + weighted(-c.reward_control_weight, action), False


def starts_reacher(env: Any, v5: bool) -> Start:
    start = starts(env, 0.1, goal=IN_DISC)
    start.spread[start.nq :] = 0.005
    start.centre[-2:] = start.spread[-2:] = 0.0
    return start


def draw_reacher(start: Start) -> Draw:
    """The goal is uniform in a disc."""
    nq, spread = start.nq, start.spread

    def draw(generator: np.random.Generator) -> np.ndarray:
        positions = generator.uniform(-spread[:nq], spread[:nq]) + start.centre[:nq]
        while True:
            goal = generator.uniform(-GOAL_RADIUS, GOAL_RADIUS, 2)
            if np.linalg.norm(goal) < GOAL_RADIUS:
                break
        positions[-2:] = goal
        velocities = start.centre[nq:] + generator.uniform(-spread[nq:], spread[nq:])
        return np.concatenate([positions, velocities])

    return draw


def pusher(env: Any, v5: bool) -> Constants:
    """Pusher (version 5): arm to object, object to goal."""
    return constants(
        env,
        PUSHER,
        v5,
        bodies=[env.model.body(name).id for name in ("tips_arm", "object", "goal")],
        reward_near_weight=env._reward_near_weight,
        reward_dist_weight=env._reward_dist_weight,
        reward_control_weight=env._reward_control_weight,
    )


@compiled
def observe_pusher(c: Constants, f: Fields, out: np.ndarray) -> None:
    copy(f.qpos[:7], out)
    copy(f.qvel[:7], out[7:])
    for i in range(3):
        copy(f.xpos[c.bodies[i]], out[14 + 3 * i :])


@compiled
def score_pusher(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    tips, item, goal = c.bodies[0], c.bodies[1], c.bodies[2]
    reward_near = -distance(c, f, item, tips) * c.reward_near_weight
    reward_dist = -distance(c, f, item, goal) * c.reward_dist_weight
    reward_ctrl = weighted(-c.reward_control_weight, action)
    return reward_dist + reward_ctrl + reward_near, False


def starts_pusher(env: Any, v5: bool) -> Start:
    start = starts(env, 0.005, goal=BESIDE_GOAL)
    nq = start.nq
    start.centre[nq - 4 : nq] = start.spread[:nq] = 0.0
    start.centre[-4:] = start.spread[-4:] = 0.0
    return start


def draw_pusher(start: Start) -> Draw:
    """The object is uniform in a rectangle, without a disc around the goal."""
    nq, spread = start.nq, start.spread

    def draw(generator: np.random.Generator) -> np.ndarray:
        while True:
            first = generator.uniform(OBJECT_LOW[0], OBJECT_HIGH[0], 1)
            item = np.concatenate([first, generator.uniform(OBJECT_LOW[1], OBJECT_HIGH[1], 1)])
            if np.linalg.norm(item) > OBJECT_DISTANCE:
                break
        positions = start.centre[:nq].copy()
        positions[-4:-2] = item
        velocities = start.centre[nq:] + generator.uniform(-spread[nq:], spread[nq:])
        return np.concatenate([positions, velocities])

    return draw


def pendulum(env: Any, v5: bool) -> Constants:
    """InvertedPendulum: 1 per step; version 5 pays nothing on the terminating step."""
    return constants(env, PENDULUM, v5)


@compiled
def observe_pendulum(c: Constants, f: Fields, out: np.ndarray) -> None:
    coordinates(c, f, out)


@compiled
def score_pendulum(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    terminated = not finite(c, f) or abs(f.qpos[1]) > 0.2
    return 0.0 if c.v5 and terminated else 1.0, terminated


def double_pendulum(env: Any, v5: bool) -> Constants:
    """InvertedDoublePendulum: stay up, in the middle, slowly."""
    return constants(env, DOUBLE_PENDULUM, v5, healthy_reward=env._healthy_reward if v5 else 10.0)


@compiled
def observe_double_pendulum(c: Constants, f: Fields, out: np.ndarray) -> None:
    angles = c.nq - 1
    out[0] = f.qpos[0]
    elementwise(c.loops[SIN], f.qpos[1:], out[1 : 1 + angles])
    elementwise(c.loops[COS], f.qpos[1:], out[1 + angles : 1 + 2 * angles])
    end = 1 + 2 * angles
    for i in range(c.nv):
        out[end + i] = clip(f.qvel[i], -10.0, 10.0)
    for i in range(1 if c.v5 else c.nv):
        out[end + c.nv + i] = clip(f.qfrc_constraint[i], -10.0, 10.0)


@compiled
def score_double_pendulum(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    x, y = f.site_xpos[0, 0], f.site_xpos[0, 2]
    # A scalar's ** 2 is a call of pow, which differs from a product in the last bit now and then.
    squares, powers = np.empty(4), np.full(4, 2.0)
    squares[0], squares[1], squares[2], squares[3] = x, y - 2.0, f.qvel[1], f.qvel[2]
    pairwise(c.loops[FLOAT_POWER], squares, powers, squares)
    terminated = y <= 1
    reward = c.healthy_reward * (not terminated) if c.v5 else c.healthy_reward
    reward -= 0.01 * squares[0] + squares[1]
    reward -= 1e-3 * squares[2] + 5e-3 * squares[3]
    return reward, terminated
