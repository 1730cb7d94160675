"""What the tasks share: their constants, the live fields of a simulation, sums, start noise.

A task is a few compiled functions of one simulation. They read like the lines of Gymnasium's own
classes, in their order of operations: the numbers are equal bit for bit, and tests hold them to
that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.kernels.memory import floats
from trpo_cli.simulators.mujoco.native import numpy_loops

Draw = Callable[[np.random.Generator], np.ndarray]
"""generator -> (nq + nv,): the coordinates of a new episode."""

NO_GOAL, IN_DISC, BESIDE_GOAL = range(3)

WALKER, RUNNER, ANT, HUMANOID, STANDUP, REACHER, PUSHER, PENDULUM, DOUBLE_PENDULUM = range(9)

FIELDS = (
    "qpos", "qvel", "ctrl", "xpos", "xipos", "site_xpos", "cinert", "cvel", "qfrc_actuator",
    "qfrc_constraint", "cfrc_ext",
)  # fmt: skip
"""The fields of MjData that tasks read."""

INFINITY = float("inf")


class Constants(NamedTuple):
    """What a task knows beforehand: sizes of its model, and Gymnasium's constructor arguments
    under their own names. What a task has no use for keeps its value here."""

    task: int
    v5: bool
    nq: int
    nv: int
    nu: int
    nbody: int
    nsite: int
    dt: float
    timestep: float
    skip: int
    """How many leading positions an observation leaves out."""
    loops: np.ndarray
    """See `native.numpy_loops`."""
    low: np.ndarray
    high: np.ndarray
    """Exclusive bounds on qpos[1], qpos[2], ... of a healthy walker."""
    masses: np.ndarray
    """Of the bodies."""
    total_mass: float
    bodies: np.ndarray
    """(3,) the numbers of the bodies that the task looks at."""
    terminate_when_unhealthy: bool = False
    healthy_reward: float = 0.0
    healthy_z_min: float = 0.0
    healthy_z_max: float = 0.0
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.0
    contact_cost_weight: float = 0.0
    contact_cost_min: float = -INFINITY
    contact_cost_max: float = INFINITY
    contact_force_min: float = -INFINITY
    contact_force_max: float = INFINITY
    use_contact_forces: bool = False
    see_contact_forces: bool = False
    see_cinert: bool = False
    see_cvel: bool = False
    see_qfrc_actuator: bool = False
    impact_cost_weight: float = 0.0
    reward_near_weight: float = 1.0
    reward_dist_weight: float = 1.0
    reward_control_weight: float = 1.0


def constants(env: Any, task: int, v5: bool, **own: Any) -> Constants:
    """The constants of a task; env is Gymnasium's own, `own` what only this task has."""
    model = env.model
    skip = own.pop("skip", 0)
    if not getattr(env, "_exclude_current_positions_from_observation", True):
        skip = 0
    bodies = np.zeros(3, dtype=np.int64)
    numbers = own.pop("bodies", ())
    bodies[: len(numbers)] = numbers
    shared = {
        "terminate_when_unhealthy": bool,
        "healthy_reward": float,
        "forward_reward_weight": float,
        "ctrl_cost_weight": float,
        "contact_cost_weight": float,
    }
    for name, kind in shared.items():
        if hasattr(env, f"_{name}"):
            own.setdefault(name, kind(getattr(env, f"_{name}")))
    nothing = np.zeros(0)
    kinds = {name: type(value) for name, value in Constants._field_defaults.items()}
    given = {name: kinds[name](own[name]) for name in own if name in kinds}
    return Constants(
        task=task,
        v5=v5,
        nq=int(model.nq),
        nv=int(model.nv),
        nu=int(model.nu),
        nbody=int(model.nbody),
        nsite=int(model.nsite),
        dt=float(env.dt),
        timestep=float(model.opt.timestep),
        skip=int(skip),
        loops=numpy_loops(),
        low=own.get("low", nothing),
        high=own.get("high", nothing),
        masses=model.body_mass.copy(),
        total_mass=float(model.body_mass.sum()),
        bodies=bodies,
        **given,
    )


class Fields(NamedTuple):
    """The live fields of one simulation, as Gymnasium's `self.data` has them."""

    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray
    xpos: np.ndarray
    xipos: np.ndarray
    site_xpos: np.ndarray
    cinert: np.ndarray
    cvel: np.ndarray
    qfrc_actuator: np.ndarray
    qfrc_constraint: np.ndarray
    cfrc_ext: np.ndarray


@compiled
def fields_at(c: Constants, addresses: np.ndarray) -> Fields:
    """addresses: of `FIELDS`, in that order."""
    return Fields(
        floats(addresses[0], c.nq),
        floats(addresses[1], c.nv),
        floats(addresses[2], c.nu),
        floats(addresses[3], (c.nbody, 3)),
        floats(addresses[4], (c.nbody, 3)),
        floats(addresses[5], (c.nsite, 3)),
        floats(addresses[6], c.nbody * 10),
        floats(addresses[7], c.nbody * 6),
        floats(addresses[8], c.nv),
        floats(addresses[9], c.nv),
        floats(addresses[10], c.nbody * 6),
    )


@compiled
def sum_of_squares(x: np.ndarray) -> float:
    """``np.sum(np.square(x))`` to the bit, in the precision of x (n,): numpy sums eight running
    parts, and up to 128 numbers at once."""
    n = len(x)
    zero = x.dtype.type(0)
    if n < 8:
        total = zero
        for i in range(n):
            total += x[i] * x[i]
        return total
    if n > 128:
        half = n // 2
        half -= half % 8
        return sum_of_squares(x[:half]) + sum_of_squares(x[half:])
    part = np.zeros(8, x.dtype)
    whole = n - n % 8
    for i in range(0, whole, 8):
        for k in range(8):
            part[k] += x[i + k] * x[i + k]
    total = ((part[0] + part[1]) + (part[2] + part[3])) + (
        (part[4] + part[5]) + (part[6] + part[7])
    )
    for i in range(whole, n):
        total += x[i] * x[i]
    return total


@compiled
def weighted(weight: float, x: np.ndarray) -> float:
    """weight * ``np.sum(np.square(x))``, in the precision of x."""
    return x.dtype.type(weight) * sum_of_squares(x)


@compiled
def clip(x: float, low: float, high: float) -> float:
    """As ``np.clip``: what is no number stays none."""
    if x < low:
        return low
    if x > high:
        return high
    return x


@compiled
def finite(c: Constants, f: Fields) -> bool:
    """``np.isfinite(state_vector).all()``."""
    bad = 0
    for x in f.qpos:
        bad += not np.isfinite(x)
    for x in f.qvel:
        bad += not np.isfinite(x)
    return bad == 0


@compiled
def survival(c: Constants, healthy: bool) -> float:
    """The bonus of a step. Version 4 pays it on the terminating step too, version 5 does not."""
    if healthy or (c.terminate_when_unhealthy and not c.v5):
        return c.healthy_reward
    return 0.0 * c.healthy_reward


@compiled
def speed(c: Constants, before: float, after: float) -> float:
    """forward_reward_weight * (after - before) / dt."""
    return c.forward_reward_weight * ((after - before) / c.dt)


@compiled
def coordinates(c: Constants, f: Fields, out: np.ndarray) -> int:
    """Positions without the first `skip`, then velocities; returns how many numbers."""
    for i in range(c.skip, c.nq):
        out[i - c.skip] = f.qpos[i]
    start = c.nq - c.skip
    for i in range(c.nv):
        out[start + i] = f.qvel[i]
    return start + c.nv


class Start(NamedTuple):
    """Where episodes begin: centre + spread times uniform noise in [-1, 1], per coordinate.

    centre, spread: (nq + nv,). normal_velocities: Gaussian noise on the velocities instead. goal:
    how the coordinates of what is to be reached are drawn.
    """

    nq: int
    centre: np.ndarray
    spread: np.ndarray
    normal_velocities: bool = False
    goal: int = NO_GOAL


def starts(env: Any, scale: float, **more: Any) -> Start:
    """The model's own start, with noise of one scale on all coordinates."""
    centre = np.concatenate([env.init_qpos, env.init_qvel])
    return Start(len(env.init_qpos), centre, np.full(len(centre), scale), **more)


def draw_uniform(start: Start) -> Draw:
    # One draw of nq + nv numbers takes the same stream as Gymnasium's two draws.
    def draw(generator: np.random.Generator) -> np.ndarray:
        return start.centre + generator.uniform(-start.spread, start.spread)

    return draw


def draw_uniform_normal(start: Start) -> Draw:
    """Uniform noise on the positions, Gaussian noise on the velocities."""
    nq, spread = start.nq, start.spread

    def draw(generator: np.random.Generator) -> np.ndarray:
        noise = generator.uniform(-spread[:nq], spread[:nq])
        normal = spread[nq:] * generator.standard_normal(len(spread) - nq)
        return start.centre + np.concatenate([noise, normal])

    return draw
