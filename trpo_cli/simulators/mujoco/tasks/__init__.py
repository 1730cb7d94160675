"""Gymnasium's MuJoCo tasks as compiled functions of one simulation.

Constants come from one environment built by Gymnasium itself, so that constructor arguments mean
what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.simulators.mujoco.tasks import control, humanoid, locomotion
from trpo_cli.simulators.mujoco.tasks.control import (
    observe_double_pendulum,
    observe_pendulum,
    observe_pusher,
    observe_reacher,
    progress_reacher,
    score_double_pendulum,
    score_pendulum,
    score_pusher,
    score_reacher,
)
from trpo_cli.simulators.mujoco.tasks.humanoid import (
    mass_center,
    observe_humanoid,
    score_humanoid,
    score_standup,
)
from trpo_cli.simulators.mujoco.tasks.locomotion import (
    observe_ant,
    observe_runner,
    observe_walker,
    score_ant,
    score_runner,
    score_walker,
)
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
    Draw,
    Fields,
    uniform,
    uniform_normal,
)


@dataclass(frozen=True)
class Entry:
    """How one of Gymnasium's classes is built; env is Gymnasium's own, v5 says which version.

    constants(env, v5): what the task knows beforehand. draw(env, v5): where an episode starts.
    """

    constants: Callable[[Any, bool], Constants]
    draw: Callable[[Any, bool], Draw]


def _uniform(fixed: float | None = None) -> Callable[[Any, bool], Draw]:
    """fixed: the noise of version 4, where that has no argument for it."""
    return lambda env, v5: uniform(env, _scale(env, v5, fixed))


def _uniform_normal(fixed: float | None = None) -> Callable[[Any, bool], Draw]:
    return lambda env, v5: uniform_normal(env, _scale(env, v5, fixed))


def _scale(env: Any, v5: bool, fixed: float | None) -> float:
    return float(env._reset_noise_scale) if v5 or fixed is None else fixed


FAMILY = {
    "hopper:HopperEnv": Entry(locomotion.walker, _uniform()),
    "walker2d:Walker2dEnv": Entry(locomotion.walker, _uniform()),
    "half_cheetah:HalfCheetahEnv": Entry(locomotion.half_cheetah, _uniform_normal()),
    "swimmer:SwimmerEnv": Entry(locomotion.swimmer, _uniform()),
    "ant:AntEnv": Entry(locomotion.ant, _uniform_normal()),
    "humanoid:HumanoidEnv": Entry(humanoid.humanoid, _uniform()),
    "humanoidstandup:HumanoidStandupEnv": Entry(humanoid.standup, _uniform(0.01)),
    "reacher:ReacherEnv": Entry(control.reacher, control.draw_reacher),
    "pusher:PusherEnv": Entry(control.pusher, control.draw_pusher),
    "inverted_pendulum:InvertedPendulumEnv": Entry(control.pendulum, _uniform(0.01)),
    "inverted_double_pendulum:InvertedDoublePendulumEnv": Entry(
        control.double_pendulum, _uniform_normal(0.1)
    ),
}

# One compiled function serves all tasks: it costs a comparison a step, and is compiled once.


@compiled
def observe(c: Constants, f: Fields, out: np.ndarray) -> None:
    """Fill out (d,) with the observation of the current state."""
    if c.task == WALKER:
        observe_walker(c, f, out)
    elif c.task == RUNNER:
        observe_runner(c, f, out)
    elif c.task == ANT:
        observe_ant(c, f, out)
    elif c.task == HUMANOID or c.task == STANDUP:
        observe_humanoid(c, f, out)
    elif c.task == REACHER:
        observe_reacher(c, f, out)
    elif c.task == PUSHER:
        observe_pusher(c, f, out)
    elif c.task == PENDULUM:
        observe_pendulum(c, f, out)
    elif c.task == DOUBLE_PENDULUM:
        observe_double_pendulum(c, f, out)


@compiled
def progress(c: Constants, f: Fields) -> float:
    """The quantity whose value before the step the reward needs; 0 where it needs none."""
    if c.task == WALKER or c.task == RUNNER:
        return f.qpos[0]
    if c.task == ANT:
        return f.xpos[c.bodies[0], 0]
    if c.task == HUMANOID:
        return mass_center(c, f)
    if c.task == REACHER:
        return progress_reacher(c, f)
    return 0.0


@compiled
def score(
    c: Constants, f: Fields, action: np.ndarray, before: float, after: float
) -> tuple[float, bool]:
    """Reward and termination, from the state after the step and the progress before and after."""
    if c.task == WALKER:
        return score_walker(c, f, action, before, after)
    if c.task == RUNNER:
        return score_runner(c, f, action, before, after)
    if c.task == ANT:
        return score_ant(c, f, action, before, after)
    if c.task == HUMANOID:
        return score_humanoid(c, f, action, before, after)
    if c.task == STANDUP:
        return score_standup(c, f, action, before, after)
    if c.task == REACHER:
        return score_reacher(c, f, action, before, after)
    if c.task == PUSHER:
        return score_pusher(c, f, action, before, after)
    if c.task == PENDULUM:
        return score_pendulum(c, f, action, before, after)
    return score_double_pendulum(c, f, action, before, after)
