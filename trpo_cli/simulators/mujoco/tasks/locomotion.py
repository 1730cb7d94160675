"""Hopper, Walker2d, HalfCheetah, Swimmer and Ant: get forwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.simulators.mujoco.tasks.parts import (
    ANT,
    RUNNER,
    WALKER,
    Constants,
    Fields,
    clip,
    constants,
    coordinates,
    finite,
    speed,
    survival,
    weighted,
)


def walker(env: Any, v5: bool) -> Constants:
    """Hopper and Walker2d: upright within bounds on height and angle (Hopper: and the rest)."""
    low, high = _bounds(env, env.model.nq + env.model.nv - 1)
    return constants(env, WALKER, v5, skip=1, low=low, high=high)


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


@compiled
def observe_walker(c: Constants, f: Fields, out: np.ndarray) -> None:
    end = coordinates(c, f, out)
    for i in range(c.nq - c.skip, end):
        out[i] = clip(out[i], -10.0, 10.0)


@compiled
def score_walker(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    healthy = True
    for i in range(len(c.low)):
        k = i + 1
        x = f.qpos[k] if k < c.nq else f.qvel[k - c.nq]
        healthy = healthy and c.low[i] < x < c.high[i]
    reward = speed(c, before, after) + survival(c, healthy) - weighted(c.ctrl_cost_weight, action)
    return reward, c.terminate_when_unhealthy and not healthy


def half_cheetah(env: Any, v5: bool) -> Constants:
    return constants(env, RUNNER, v5, skip=1)


def swimmer(env: Any, v5: bool) -> Constants:
    return constants(env, RUNNER, v5, skip=2)


@compiled
def observe_runner(c: Constants, f: Fields, out: np.ndarray) -> None:
    coordinates(c, f, out)


@compiled
def score_runner(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    """Speed minus control cost; the task never ends an episode."""
    return speed(c, before, after) - weighted(c.ctrl_cost_weight, action), False


def ant(env: Any, v5: bool) -> Constants:
    """Ant: the main body's speed, with contact forces in version 5 (and 4 where asked for)."""
    body = env.model.body(env._main_body if v5 else "torso").id
    low, high = getattr(env, "_contact_force_range", (-np.inf, np.inf))
    forces = v5 or bool(env._use_contact_forces)
    return constants(
        env,
        ANT,
        v5,
        skip=2,
        bodies=[body],
        forward_reward_weight=env._forward_reward_weight if v5 else 1.0,
        healthy_z_min=env._healthy_z_range[0],
        healthy_z_max=env._healthy_z_range[1],
        use_contact_forces=forces,
        see_contact_forces=env._include_cfrc_ext_in_observation if v5 else forces,
        contact_force_min=low,
        contact_force_max=high,
    )


@compiled
def observe_ant(c: Constants, f: Fields, out: np.ndarray) -> None:
    end = coordinates(c, f, out)
    if c.see_contact_forces:
        first = 6 if c.v5 else 0  # version 5 leaves the world body out
        for i in range(first, len(f.cfrc_ext)):
            out[end + i - first] = clip(f.cfrc_ext[i], c.contact_force_min, c.contact_force_max)


@compiled
def score_ant(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    healthy = finite(c, f) and c.healthy_z_min <= f.qpos[2] <= c.healthy_z_max
    reward = speed(c, before, after) + survival(c, healthy)
    ctrl_cost = weighted(c.ctrl_cost_weight, action)
    if c.use_contact_forces:
        forces = np.empty(len(f.cfrc_ext))
        for i in range(len(forces)):
            forces[i] = clip(f.cfrc_ext[i], c.contact_force_min, c.contact_force_max)
        reward -= ctrl_cost + weighted(c.contact_cost_weight, forces)
    else:
        reward -= ctrl_cost
    return reward, c.terminate_when_unhealthy and not healthy
