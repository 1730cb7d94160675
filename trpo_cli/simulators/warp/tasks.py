"""Gymnasium's MuJoCo tasks as torch formulas over N worlds.

They say what the compiled functions of `simulators.mujoco.tasks` say, line by line, in single
precision and for all worlds at once. Shapes are fixed and nothing is read back from the device, so
that a CUDA graph can hold them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trpo_cli.simulators.mujoco.tasks.parts import (
    ANT,
    DOUBLE_PENDULUM,
    HUMANOID,
    PENDULUM,
    PUSHER,
    REACHER,
    RUNNER,
    STANDUP,
    WALKER,
    Constants,
)


class Fields(NamedTuple):
    """The fields of MjData of N worlds, float32: the tensors alias the simulation's memory."""

    qpos: Tensor
    qvel: Tensor
    ctrl: Tensor
    xpos: Tensor
    xipos: Tensor
    site_xpos: Tensor
    cinert: Tensor
    cvel: Tensor
    qfrc_actuator: Tensor
    qfrc_constraint: Tensor
    cfrc_ext: Tensor


class Task(NamedTuple):
    """A task's constants, and those of them that are arrays on the device."""

    c: Constants
    low: Tensor
    high: Tensor
    masses: Tensor


def task_on(c: Constants, device: torch.device) -> Task:
    arrays = (c.low, c.high, c.masses)
    return Task(c, *(torch.tensor(x, dtype=torch.float32, device=device) for x in arrays))


def observe(task: Task, f: Fields) -> Tensor:
    """(N, d): the observations of the current states."""
    c = task.c
    if c.task == REACHER:
        return _observe_reacher(c, f)
    if c.task == PUSHER:
        places = [f.xpos[:, int(c.bodies[k])] for k in range(3)]
        return torch.cat([f.qpos[:, :7], f.qvel[:, :7], *places], dim=1)
    if c.task == DOUBLE_PENDULUM:
        return _observe_double_pendulum(c, f)
    seen = [f.qpos[:, c.skip :], f.qvel]
    if c.task == WALKER:
        seen[1] = f.qvel.clamp(-10.0, 10.0)
    elif c.task == ANT and c.see_contact_forces:
        forces = f.cfrc_ext.clamp(c.contact_force_min, c.contact_force_max)
        seen.append(_rows(forces, 1 if c.v5 else 0))
    elif c.task in (HUMANOID, STANDUP):
        seen += _seen_by_humanoid(c, f)
    return torch.cat(seen, dim=1)


def _rows(x: Tensor, first: int) -> Tensor:
    """(N, bodies, k) -> (N, numbers), from the body `first` on."""
    return x[:, first:].reshape(len(x), -1)


def _seen_by_humanoid(c: Constants, f: Fields) -> list[Tensor]:
    """Version 5 leaves out what is constant: the world body, the root's actuator forces."""
    body, dof = (1, 6) if c.v5 else (0, 0)
    seen = []
    if c.see_cinert:
        seen.append(_rows(f.cinert, body))
    if c.see_cvel:
        seen.append(_rows(f.cvel, body))
    if c.see_qfrc_actuator:
        seen.append(f.qfrc_actuator[:, dof:])
    if c.see_contact_forces:
        seen.append(_rows(f.cfrc_ext, body))
    return seen


def _observe_reacher(c: Constants, f: Fields) -> Tensor:
    theta = f.qpos[:, :2]
    between = f.xpos[:, int(c.bodies[0])] - f.xpos[:, int(c.bodies[1])]
    seen = [theta.cos(), theta.sin(), f.qpos[:, 2:], f.qvel[:, :2], between[:, : 2 if c.v5 else 3]]
    return torch.cat(seen, dim=1)


def _observe_double_pendulum(c: Constants, f: Fields) -> Tensor:
    angles = f.qpos[:, 1:]
    forces = f.qfrc_constraint[:, : 1 if c.v5 else c.nv].clamp(-10.0, 10.0)
    seen = [f.qpos[:, :1], angles.sin(), angles.cos(), f.qvel.clamp(-10.0, 10.0), forces]
    return torch.cat(seen, dim=1)


def progress(task: Task, f: Fields) -> Tensor:
    """(N,): the quantity whose value before the step the reward needs; 0 where it needs none."""
    c = task.c
    if c.task in (WALKER, RUNNER):
        return f.qpos[:, 0].clone()
    if c.task == ANT:
        return f.xpos[:, int(c.bodies[0]), 0].clone()
    if c.task == HUMANOID:
        return (f.xipos[:, :, 0] * task.masses).sum(1) / c.total_mass
    if c.task == REACHER:
        return -_distance(c, f, 0, 1)
    return torch.zeros_like(f.qpos[:, 0])


def _distance(c: Constants, f: Fields, one: int, other: int) -> Tensor:
    vector = f.xpos[:, int(c.bodies[one])] - f.xpos[:, int(c.bodies[other])]
    return vector.square().sum(1).sqrt()


def score(
    task: Task, f: Fields, action: Tensor, before: Tensor, after: Tensor
) -> tuple[Tensor, Tensor]:
    """Rewards (N,) and terminations (N,) bool, from the states after the step, the actions
    (N, nu), and the progress (N,) before and after."""
    c = task.c
    if c.task == WALKER:
        return _score_walker(task, f, action, before, after)
    if c.task == RUNNER:
        return _speed(c, before, after) - _weighted(c.ctrl_cost_weight, action), _never(f)
    if c.task == ANT:
        return _score_ant(c, f, action, before, after)
    if c.task == HUMANOID:
        return _score_humanoid(c, f, before, after)
    if c.task == STANDUP:
        return _score_standup(c, f)
    if c.task == REACHER:
        near = (after if c.v5 else before) * c.reward_dist_weight
        return near - _weighted(c.reward_control_weight, action), _never(f)
    if c.task == PUSHER:
        near = _distance(c, f, 1, 0) * c.reward_near_weight
        far = _distance(c, f, 1, 2) * c.reward_dist_weight
        return -far - _weighted(c.reward_control_weight, action) - near, _never(f)
    if c.task == PENDULUM:
        terminated = ~_finite(f) | (f.qpos[:, 1].abs() > 0.2)
        rewards = torch.ones_like(f.qpos[:, 0])
        return (rewards * ~terminated if c.v5 else rewards), terminated
    return _score_double_pendulum(c, f)


def _weighted(weight: float, x: Tensor) -> Tensor:
    return weight * x.square().flatten(1).sum(1)


def _speed(c: Constants, before: Tensor, after: Tensor) -> Tensor:
    return c.forward_reward_weight * ((after - before) / c.dt)


def _survival(c: Constants, healthy: Tensor, dtype: torch.dtype) -> Tensor | float:
    """The bonus of a step. Version 4 pays it on the terminating step too, version 5 does not."""
    if c.terminate_when_unhealthy and not c.v5:
        return c.healthy_reward
    return c.healthy_reward * healthy.to(dtype)


def _ends(c: Constants, healthy: Tensor) -> Tensor:
    return ~healthy if c.terminate_when_unhealthy else torch.zeros_like(healthy)


def _never(f: Fields) -> Tensor:
    return torch.zeros_like(f.qpos[:, 0], dtype=torch.bool)


def _finite(f: Fields) -> Tensor:
    return f.qpos.isfinite().all(1) & f.qvel.isfinite().all(1)


def _score_walker(
    task: Task, f: Fields, action: Tensor, before: Tensor, after: Tensor
) -> tuple[Tensor, Tensor]:
    c = task.c
    bounded = torch.cat([f.qpos[:, 1:], f.qvel], dim=1)[:, : len(task.low)]
    healthy = ((task.low < bounded) & (bounded < task.high)).all(1)
    rewards = _speed(c, before, after) + _survival(c, healthy, after.dtype)
    return rewards - _weighted(c.ctrl_cost_weight, action), _ends(c, healthy)


def _score_ant(
    c: Constants, f: Fields, action: Tensor, before: Tensor, after: Tensor
) -> tuple[Tensor, Tensor]:
    height = f.qpos[:, 2]
    healthy = _finite(f) & (c.healthy_z_min <= height) & (height <= c.healthy_z_max)
    rewards = _speed(c, before, after) + _survival(c, healthy, after.dtype)
    costs = _weighted(c.ctrl_cost_weight, action)
    if c.use_contact_forces:
        forces = f.cfrc_ext.clamp(c.contact_force_min, c.contact_force_max)
        costs = costs + _weighted(c.contact_cost_weight, forces)
    return rewards - costs, _ends(c, healthy)


def _contact_cost(c: Constants, f: Fields, weight: float) -> Tensor:
    return _weighted(weight, f.cfrc_ext).clamp(c.contact_cost_min, c.contact_cost_max)


def _score_humanoid(
    c: Constants, f: Fields, before: Tensor, after: Tensor
) -> tuple[Tensor, Tensor]:
    height = f.qpos[:, 2]
    healthy = (c.healthy_z_min < height) & (height < c.healthy_z_max)
    rewards = _speed(c, before, after) + _survival(c, healthy, after.dtype)
    costs = _weighted(c.ctrl_cost_weight, f.ctrl)
    if c.v5:
        costs = costs + _contact_cost(c, f, c.contact_cost_weight)
    return rewards - costs, _ends(c, healthy)


def _score_standup(c: Constants, f: Fields) -> tuple[Tensor, Tensor]:
    rewards = f.qpos[:, 2] / c.timestep - _weighted(c.ctrl_cost_weight, f.ctrl)
    return rewards - _contact_cost(c, f, c.impact_cost_weight) + 1.0, _never(f)


def _score_double_pendulum(c: Constants, f: Fields) -> tuple[Tensor, Tensor]:
    x, y = f.site_xpos[:, 0, 0], f.site_xpos[:, 0, 2]
    terminated = y <= 1.0
    bonus = c.healthy_reward * (~terminated).to(y.dtype) if c.v5 else c.healthy_reward
    costs = 0.01 * x.square() + (y - 2.0).square()
    costs = costs + 1e-3 * f.qvel[:, 1].square() + 5e-3 * f.qvel[:, 2].square()
    return bonus - costs, terminated
