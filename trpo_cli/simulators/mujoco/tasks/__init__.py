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
    Start,
    draw_uniform,
    draw_uniform_normal,
    starts,
)


@dataclass(frozen=True)
class Entry:
    """How one of Gymnasium's classes is built; env is Gymnasium's own, v5 says which version.

    constants(env, v5): what the task knows beforehand. start(env, v5): the law by which episodes
    begin. draws(start): draw from it as Gymnasium does.
    """

    constants: Callable[[Any, bool], Constants]
    start: Callable[[Any, bool], Start]
    draws: Callable[[Start], Draw]

    def draw(self, env: Any, v5: bool) -> Draw:
        return self.draws(self.start(env, v5))


def _uniform(constants: Callable[[Any, bool], Constants], fixed: float | None = None) -> Entry:
    """fixed: the noise of version 4, where that has no argument for it."""
    return Entry(constants, lambda env, v5: starts(env, _scale(env, v5, fixed)), draw_uniform)


def _uniform_normal(
    constants: Callable[[Any, bool], Constants], fixed: float | None = None
) -> Entry:
    def start(env: Any, v5: bool) -> Start:
        return starts(env, _scale(env, v5, fixed), normal_velocities=True)

    return Entry(constants, start, draw_uniform_normal)


def _scale(env: Any, v5: bool, fixed: float | None) -> float:
    return float(env._reset_noise_scale) if v5 or fixed is None else fixed


FAMILY = {
    "hopper:HopperEnv": _uniform(locomotion.walker),
    "walker2d:Walker2dEnv": _uniform(locomotion.walker),
    "half_cheetah:HalfCheetahEnv": _uniform_normal(locomotion.half_cheetah),
    "swimmer:SwimmerEnv": _uniform(locomotion.swimmer),
    "ant:AntEnv": _uniform_normal(locomotion.ant),
    "humanoid:HumanoidEnv": _uniform(humanoid.humanoid),
    "humanoidstandup:HumanoidStandupEnv": _uniform(humanoid.standup, 0.01),
    "reacher:ReacherEnv": Entry(control.reacher, control.starts_reacher, control.draw_reacher),
    "pusher:PusherEnv": Entry(control.pusher, control.starts_pusher, control.draw_pusher),
    "inverted_pendulum:InvertedPendulumEnv": _uniform(control.pendulum, 0.01),
    "inverted_double_pendulum:InvertedDoublePendulumEnv": _uniform_normal(
        control.double_pendulum, 0.1
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
