"""Reacher, Pusher and the two inverted pendulums."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.simulators.mujoco.physics import Physics
from trpo_cli.simulators.mujoco.tasks.parts import (
    Rows,
    Task,
    coordinates,
    lengths,
    nothing,
    row_sums,
    uniform,
    uniform_normal,
)


def reacher(env: Any, physics: Physics, v5: bool) -> Task:
    """Reacher: fingertip to target. Version 4 scores the distance before the step."""
    model, xpos = physics.model, physics.field("xpos")
    nq = model.nq
    qpos, qvel = physics.coordinates[:, :nq], physics.coordinates[:, nq:]
    fingertip, target = model.body("fingertip").id, model.body("target").id
    dist_weight = env._reward_dist_weight if v5 else 1
    control_weight = env._reward_control_weight if v5 else 1
    shown = 2 if v5 else 3
    init_qpos, init_qvel = env.init_qpos.copy(), env.init_qvel.copy()

    def observe(out: Rows) -> None:
        out[:, 0:2] = np.cos(qpos[:, :2])
        out[:, 2:4] = np.sin(qpos[:, :2])
        out[:, 4 : 2 + nq] = qpos[:, 2:]
        out[:, 2 + nq : 4 + nq] = qvel[:, :2]
        out[:, 4 + nq :] = (xpos[:, fingertip] - xpos[:, target])[:, :shown]

    def progress(out: Rows) -> None:
        np.negative(lengths(xpos[:, fingertip] - xpos[:, target]), out=out)

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        np.multiply(after if v5 else before, dist_weight, out=rewards)
        rewards += -row_sums(np.square(actions)) * control_weight

    def draw(generator: np.random.Generator) -> np.ndarray:
        positions = generator.uniform(-0.1, 0.1, nq) + init_qpos
        while True:
            goal = generator.uniform(-0.2, 0.2, 2)
            if np.linalg.norm(goal) < 0.2:
                break
        positions[-2:] = goal
        velocities = init_qvel + generator.uniform(-0.005, 0.005, init_qvel.size)
        velocities[-2:] = 0
        return np.concatenate([positions, velocities])

    return Task(observe=observe, progress=progress, score=score, draw=draw)


def pusher(env: Any, physics: Physics, v5: bool) -> Task:
    """Pusher (version 5): arm to object, object to goal."""
    model, xpos = physics.model, physics.field("xpos")
    nq = model.nq
    tips, item, goal = (model.body(name).id for name in ("tips_arm", "object", "goal"))
    init_qpos, init_qvel = env.init_qpos.copy(), env.init_qvel.copy()

    def observe(out: Rows) -> None:
        out[:, 0:7] = physics.coordinates[:, :7]
        out[:, 7:14] = physics.coordinates[:, nq : nq + 7]
        out[:, 14:17] = xpos[:, tips]
        out[:, 17:20] = xpos[:, item]
        out[:, 20:23] = xpos[:, goal]

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        near = -lengths(xpos[:, item] - xpos[:, tips]) * env._reward_near_weight
        dist = -lengths(xpos[:, item] - xpos[:, goal]) * env._reward_dist_weight
        control = -row_sums(np.square(actions)) * env._reward_control_weight
        np.add(dist + control, near, out=rewards)

    def draw(generator: np.random.Generator) -> np.ndarray:
        while True:
            first = generator.uniform(-0.3, 0, 1)
            cylinder = np.concatenate([first, generator.uniform(-0.2, 0.2, 1)])
            if np.linalg.norm(cylinder) > 0.17:
                break
        positions = init_qpos.copy()
        positions[-4:-2] = cylinder
        positions[-2:] = 0
        velocities = init_qvel + generator.uniform(-0.005, 0.005, init_qvel.size)
        velocities[-4:] = 0
        return np.concatenate([positions, velocities])

    return Task(observe=observe, progress=nothing, score=score, draw=draw)


def pendulum(env: Any, physics: Physics, v5: bool) -> Task:
    """InvertedPendulum: 1 per step; version 5 pays nothing on the terminating step."""
    state = physics.coordinates

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        fallen = np.abs(state[:, 1]) > 0.2
        np.logical_or(~np.isfinite(state).all(axis=1), fallen, out=terminated)
        if v5:
            np.logical_not(terminated, out=rewards)
        else:
            rewards[:] = 1.0

    return Task(
        observe=coordinates(physics, 0),
        progress=nothing,
        score=score,
        draw=uniform(env, env._reset_noise_scale if v5 else 0.01),
    )


def double_pendulum(env: Any, physics: Physics, v5: bool) -> Task:
    """InvertedDoublePendulum: stay up, in the middle, slowly."""
    nq = physics.model.nq
    qpos, qvel = physics.coordinates[:, :nq], physics.coordinates[:, nq:]
    tip, constraint = physics.field("site_xpos")[:, 0], physics.field("qfrc_constraint")
    x, y = tip[:, 0], tip[:, 2]
    angles = nq - 1
    shown = 1 if v5 else constraint.shape[1]

    def observe(out: Rows) -> None:
        out[:, :1] = qpos[:, :1]
        out[:, 1 : 1 + angles] = np.sin(qpos[:, 1:])
        out[:, 1 + angles : 1 + 2 * angles] = np.cos(qpos[:, 1:])
        after_angles = 1 + 2 * angles + qvel.shape[1]
        out[:, 1 + 2 * angles : after_angles] = np.clip(qvel, -10, 10)
        out[:, after_angles:] = np.clip(constraint[:, :shown], -10, 10)

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        # `float_power` rounds as a scalar's ** does; an array's ** 2 is a product and differs in
        # the last bit now and then.
        square = np.float_power
        distance_penalty = 0.01 * square(x, 2) + square(y - 2, 2)
        velocity_penalty = 1e-3 * square(qvel[:, 1], 2) + 5e-3 * square(qvel[:, 2], 2)
        np.less_equal(y, 1, out=terminated)
        if v5:
            np.multiply(env._healthy_reward, ~terminated, out=rewards)
        else:
            rewards[:] = 10
        rewards -= distance_penalty
        rewards -= velocity_penalty

    return Task(
        observe=observe,
        progress=nothing,
        score=score,
        draw=uniform_normal(env, env._reset_noise_scale if v5 else 0.1),
    )
