"""Humanoid and HumanoidStandup: many derived quantities, contact forces among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.simulators.mujoco.physics import Physics
from trpo_cli.simulators.mujoco.tasks.parts import (
    Fill,
    Rows,
    Task,
    control_cost,
    nothing,
    row_sums,
    skipped,
    speed,
    survival,
    uniform,
)


def _observe(env: Any, physics: Physics, v5: bool) -> Fill:
    """Coordinates, inertias, velocities, actuator forces and contact forces of all bodies.

    Version 5 leaves out what is constant (the world body, the root's actuator forces) and, where
    asked for, whole parts.
    """
    num = len(physics.coordinates)
    sources = [physics.coordinates[:, skipped(env, 2) :]]
    for name, constant in (("cinert", 10), ("cvel", 6), ("qfrc_actuator", 6), ("cfrc_ext", 6)):
        if not v5 or getattr(env, f"_include_{name}_in_observation") is True:
            values = physics.field(name).reshape(num, -1)
            sources.append(values[:, constant:] if v5 else values)
    ends = np.cumsum([source.shape[1] for source in sources]).tolist()
    plan = list(zip([0, *ends[:-1]], ends, sources, strict=True))

    def observe(out: Rows) -> None:
        for start, end, source in plan:
            out[:, start:end] = source

    return observe


def humanoid(env: Any, physics: Physics, v5: bool) -> Task:
    """Humanoid: the centre of mass's speed while the torso is high enough."""
    masses = physics.model.body_mass.copy()
    total, centres = masses.sum(), physics.field("xipos")
    heights = physics.coordinates[:, 2]
    forces = physics.field("cfrc_ext").reshape(len(heights), -1)
    least, most = env._healthy_z_range
    run, cost = speed(env, env._forward_reward_weight), control_cost(env._ctrl_cost_weight)
    survive = survival(env, v5)

    def progress(out: Rows) -> None:
        out[:] = (np.einsum("b,nbj->nj", masses, centres) / total)[:, 0]

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        run(before, after, rewards)
        survive((least < heights) & (heights < most), rewards, terminated)
        costs = cost(physics.ctrl)
        if v5:
            contact_cost = env._contact_cost_weight * row_sums(np.square(forces))
            costs = costs + np.clip(contact_cost, *env._contact_cost_range)
        rewards -= costs

    return Task(
        observe=_observe(env, physics, v5),
        progress=progress,
        score=score,
        draw=uniform(env, env._reset_noise_scale),
    )


def standup(env: Any, physics: Physics, v5: bool) -> Task:
    """HumanoidStandup: how high the torso is; the task never ends an episode."""
    timestep = physics.model.opt.timestep
    heights = physics.coordinates[:, 2]
    forces = physics.field("cfrc_ext").reshape(len(heights), -1)
    cost = control_cost(env._ctrl_cost_weight if v5 else 0.1)
    impact_weight = env._impact_cost_weight if v5 else 0.5e-6
    least, most = env._impact_cost_range if v5 else (-np.inf, 10)

    def score(actions: Rows, before: Rows, after: Rows, rewards: Rows, terminated: Rows) -> None:
        np.divide(heights, timestep, out=rewards)
        rewards -= cost(physics.ctrl)
        rewards -= np.clip(impact_weight * row_sums(np.square(forces)), least, most)
        rewards += 1

    return Task(
        observe=_observe(env, physics, v5),
        progress=nothing,
        score=score,
        draw=uniform(env, env._reset_noise_scale if v5 else 0.01),
    )
