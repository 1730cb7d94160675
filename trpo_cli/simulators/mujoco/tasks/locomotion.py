"""Hopper, Walker2d, HalfCheetah, Swimmer and Ant: get forwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.simulators.mujoco.physics import Physics
from trpo_cli.simulators.mujoco.tasks.parts import (
    Draw,
    Rows,
    Task,
    column,
    control_cost,
    coordinates,
    row_sums,
    skipped,
    speed,
    survival,
    uniform,
    uniform_normal,
)


def walker(env: Any, physics: Physics, v5: bool) -> Task:
    """Hopper and Walker2d: upright within bounds on height and angle (Hopper: and the rest)."""
    state = physics.coordinates[:, 1:]
    low, high = _bounds(env, state.shape[1])
    state = state[:, : low.size]
    above, below = np.empty(state.shape, dtype=bool), np.empty(state.shape, dtype=bool)
    healthy = np.empty(len(state), dtype=bool)
    run, cost = speed(env, env._forward_reward_weight), control_cost(env._ctrl_cost_weight)
    survive = survival(env, v5)

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        run(before, after, rewards)
        np.less(low, state, out=above)
        np.less(state, high, out=below)
        np.logical_and(above, below, out=above)
        np.logical_and.reduce(above, axis=1, out=healthy)
        survive(healthy, rewards, terminated)
        rewards -= cost(actions)

    return Task(
        observe=coordinates(physics, skipped(env, 1), clip=True),
        progress=column(physics.coordinates[:, 0]),
        score=score,
        draw=uniform(env, env._reset_noise_scale),
    )


def _bounds(env: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Exclusive bounds on the coordinates from the second on, as many as are bounded.

    The height's, the angle's and, for Hopper, those of all further coordinates, which hold for
    the angle as well.
    """
    ranges = [env._healthy_z_range, env._healthy_angle_range]
    state_range = getattr(env, "_healthy_state_range", None)
    if state_range is not None:
        ranges += [state_range] * (size - 2)
        ranges[1] = (max(ranges[1][0], state_range[0]), min(ranges[1][1], state_range[1]))
    low, high = np.array(ranges, dtype=np.float64).T
    return low.copy(), high.copy()


def half_cheetah(env: Any, physics: Physics, v5: bool) -> Task:
    return _runner(env, physics, 1, uniform_normal(env, env._reset_noise_scale))


def swimmer(env: Any, physics: Physics, v5: bool) -> Task:
    return _runner(env, physics, 2, uniform(env, env._reset_noise_scale))


def _runner(env: Any, physics: Physics, skip: int, draw: Draw) -> Task:
    """Speed minus control cost; the task never ends an episode."""
    run, cost = speed(env, env._forward_reward_weight), control_cost(env._ctrl_cost_weight)

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        run(before, after, rewards)
        rewards -= cost(actions)

    return Task(
        observe=coordinates(physics, skipped(env, skip)),
        progress=column(physics.coordinates[:, 0]),
        score=score,
        draw=draw,
    )


def ant(env: Any, physics: Physics, v5: bool) -> Task:
    """Ant: the main body's speed, with contact forces in version 5 (and 4 where asked for)."""
    body = physics.model.body(env._main_body if v5 else "torso").id
    state = physics.coordinates
    least, most = env._healthy_z_range
    run = speed(env, env._forward_reward_weight if v5 else 1)
    cost = control_cost(env._ctrl_cost_weight)
    survive = survival(env, v5)
    pay_contacts = v5 or env._use_contact_forces
    see_contacts = env._include_cfrc_ext_in_observation if v5 else env._use_contact_forces
    # Read only where contacts count: the native pool does not compute them.
    forces = physics.field("cfrc_ext").reshape(len(state), -1) if pay_contacts else state
    seen_from = 6 if v5 else 0  # version 5 leaves the world body out
    skip = skipped(env, 2)
    num_coordinates = state.shape[1] - skip
    copy = coordinates(physics, skip)

    def contacts() -> np.ndarray:
        low, high = env._contact_force_range
        return np.clip(forces, low, high)

    def observe(out: Rows) -> None:
        if not see_contacts:
            copy(out)
            return
        copy(out[:, :num_coordinates])
        out[:, num_coordinates:] = contacts()[:, seen_from:]

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        run(before, after, rewards)
        height = state[:, 2]
        healthy = np.isfinite(state).all(axis=1) & (least <= height) & (height <= most)
        survive(healthy, rewards, terminated)
        costs = cost(actions)
        if pay_contacts:
            costs = costs + env._contact_cost_weight * row_sums(np.square(contacts()))
        rewards -= costs

    return Task(
        observe=observe,
        progress=column(physics.field("xpos")[:, body, 0]),
        score=score,
        draw=uniform_normal(env, env._reset_noise_scale),
    )
