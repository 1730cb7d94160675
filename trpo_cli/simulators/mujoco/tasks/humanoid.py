"""Humanoid and HumanoidStandup: many derived quantities, contact forces among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.simulators.mujoco.tasks.parts import (
    HUMANOID,
    STANDUP,
    Constants,
    Fields,
    clip,
    constants,
    coordinates,
    speed,
    survival,
    weighted,
)


def _seen(env: Any, v5: bool) -> dict[str, bool]:
    """Which derived quantities are observed: version 5 can leave whole parts out."""

    def included(name: str) -> bool:
        return not v5 or getattr(env, f"_include_{name}_in_observation") is True

    return {
        "see_cinert": included("cinert"),
        "see_cvel": included("cvel"),
        "see_qfrc_actuator": included("qfrc_actuator"),
        "see_contact_forces": included("cfrc_ext"),
    }


def humanoid(env: Any, v5: bool) -> Constants:
    """Humanoid: the centre of mass's speed while the torso is high enough."""
    low, high = getattr(env, "_contact_cost_range", (-np.inf, np.inf))
    return constants(
        env,
        HUMANOID,
        v5,
        skip=2,
        healthy_z_min=env._healthy_z_range[0],
        healthy_z_max=env._healthy_z_range[1],
        contact_cost_min=low,
        contact_cost_max=high,
        use_contact_forces=True,
        **_seen(env, v5),
    )


def standup(env: Any, v5: bool) -> Constants:
    """HumanoidStandup: how high the torso is; the task never ends an episode."""
    low, high = env._impact_cost_range if v5 else (-np.inf, 10)
    return constants(
        env,
        STANDUP,
        v5,
        skip=2,
        ctrl_cost_weight=env._ctrl_cost_weight if v5 else 0.1,
        impact_cost_weight=env._impact_cost_weight if v5 else 0.5e-6,
        contact_cost_min=low,
        contact_cost_max=high,
        use_contact_forces=True,
        **_seen(env, v5),
    )


@compiled
def _append(values: np.ndarray, first: int, out: np.ndarray, end: int) -> int:
    for i in range(first, len(values)):
        out[end + i - first] = values[i]
    return end + len(values) - first


@compiled
def observe_humanoid(c: Constants, f: Fields, out: np.ndarray) -> None:
    """Version 5 leaves out what is constant: the world body, the root's actuator forces."""
    end = coordinates(c, f, out)
    if c.see_cinert:
        end = _append(f.cinert, 10 if c.v5 else 0, out, end)
    if c.see_cvel:
        end = _append(f.cvel, 6 if c.v5 else 0, out, end)
    if c.see_qfrc_actuator:
        end = _append(f.qfrc_actuator, 6 if c.v5 else 0, out, end)
    if c.see_contact_forces:
        end = _append(f.cfrc_ext, 6 if c.v5 else 0, out, end)


@compiled
def mass_center(c: Constants, f: Fields) -> float:
    """``(np.sum(mass * xpos, axis=0) / np.sum(mass))[0]``."""
    moment = 0.0
    for i in range(c.nbody):
        moment += c.masses[i] * f.xipos[i, 0]
    return moment / c.total_mass


@compiled
def score_humanoid(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    healthy = c.healthy_z_min < f.qpos[2] < c.healthy_z_max
    reward = speed(c, before, after) + survival(c, healthy)
    costs = weighted(c.ctrl_cost_weight, f.ctrl)
    if c.v5:
        contact_cost = weighted(c.contact_cost_weight, f.cfrc_ext)
        costs += clip(contact_cost, c.contact_cost_min, c.contact_cost_max)
    return reward - costs, c.terminate_when_unhealthy and not healthy


@compiled
def score_standup(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    impact_cost = weighted(c.impact_cost_weight, f.cfrc_ext)
    reward = f.qpos[2] / c.timestep - weighted(c.ctrl_cost_weight, f.ctrl)
    reward -= clip(impact_cost, c.contact_cost_min, c.contact_cost_max)
    return reward + 1.0, False
