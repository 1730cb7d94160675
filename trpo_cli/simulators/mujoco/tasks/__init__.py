"""Gymnasium's MuJoCo tasks as vectorised numpy over N simulations.

Constants come from one environment built by Gymnasium itself, so that constructor arguments mean
what they mean there. Operations stand in the order of Gymnasium's own code: the numbers are equal
bit for bit, and tests hold them to that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trpo_cli.simulators.mujoco.physics import Physics
from trpo_cli.simulators.mujoco.tasks import control, humanoid, locomotion
from trpo_cli.simulators.mujoco.tasks.parts import Task


@dataclass(frozen=True)
class Entry:
    """How one of Gymnasium's classes is built.

    build(env, physics, v5): the task; env is Gymnasium's own, v5 says which version it is.
    contact_forces(env, v5): whether the task reads `cfrc_ext`.
    """

    build: Callable[[Any, Physics, bool], Task]
    contact_forces: Callable[[Any, bool], bool] = lambda env, v5: False


FAMILY = {
    "hopper:HopperEnv": Entry(locomotion.walker),
    "walker2d:Walker2dEnv": Entry(locomotion.walker),
    "half_cheetah:HalfCheetahEnv": Entry(locomotion.half_cheetah),
    "swimmer:SwimmerEnv": Entry(locomotion.swimmer),
    "ant:AntEnv": Entry(locomotion.ant, lambda env, v5: v5 or bool(env._use_contact_forces)),
    "humanoid:HumanoidEnv": Entry(humanoid.humanoid, lambda env, v5: True),
    "humanoidstandup:HumanoidStandupEnv": Entry(humanoid.standup, lambda env, v5: True),
    "reacher:ReacherEnv": Entry(control.reacher),
    "pusher:PusherEnv": Entry(control.pusher),
    "inverted_pendulum:InvertedPendulumEnv": Entry(control.pendulum),
    "inverted_double_pendulum:InvertedDoublePendulumEnv": Entry(control.double_pendulum),
}
