"""One control step of N worlds, in the order of `simulators.mujoco.stepping`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco
import torch
from torch import Tensor

from trpo_cli.simulators.device import DeviceStep
from trpo_cli.simulators.mujoco.tasks import Entry
from trpo_cli.simulators.mujoco.tasks.parts import (
    ANT,
    DOUBLE_PENDULUM,
    HUMANOID,
    PUSHER,
    REACHER,
    STANDUP,
    Constants,
)
from trpo_cli.simulators.warp.physics import Physics
from trpo_cli.simulators.warp.sizes import measured
from trpo_cli.simulators.warp.starts import draw, starts_on
from trpo_cli.simulators.warp.tasks import observe, progress, score, task_on

TOO_LARGE = 1e10
"""MuJoCo's mjMAXVAL: coordinates beyond it are unstable."""

NOTHING, PLACES, EVERYTHING = range(3)


class Episodes(NamedTuple):
    """What else decides the future of N worlds. elapsed: (N,) int64, steps of the episode so far.
    progress: (N,) float32, see `tasks.progress`. seeds, counters: (N,) int64, what the next start
    is drawn from. observations: (N, d) float32, what they show."""

    elapsed: Tensor
    progress: Tensor
    seeds: Tensor
    counters: Tensor
    observations: Tensor


def first_needs(c: Constants, model: mujoco.MjModel) -> int:
    """What an episode's first observation and progress need beyond positions and velocities.

    NOTHING, the PLACES and velocities of bodies, or EVERYTHING: forces too. An actuator without a
    bias and an activation exerts none at the start, when its control is 0.
    """
    if c.task == DOUBLE_PENDULUM:
        return EVERYTHING
    if c.task in (HUMANOID, STANDUP):
        biased = model.actuator_biastype.any() or model.na
        return EVERYTHING if c.see_qfrc_actuator and biased else PLACES
    if c.task == ANT:
        return NOTHING if _floats(model, int(c.bodies[0])) else PLACES
    return PLACES if c.task in (REACHER, PUSHER) else NOTHING


def _floats(model: mujoco.MjModel, body: int) -> bool:
    """Whether the body stands where the first three positions say."""
    joint = model.body(body).jntadr[0]
    return bool(joint == 0 and model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE)


class Stepper:
    """Steps and new episodes of N worlds, as work that is recorded once and then replayed.

    template: one environment of the task, as Gymnasium's constructor leaves it (unwrapped).
    graphs: see `Physics`. failures: () int64, episodes that failed.
    """

    def __init__(
        self,
        template: Any,
        entry: Entry,
        v5: bool,
        num_envs: int,
        max_episode_steps: int | None,
        device: torch.device,
        graphs: bool,
    ) -> None:
        model, c = template.model, entry.constants(template, v5)
        self.limit, self.needs = max_episode_steps, first_needs(c, model)
        self.physics = Physics(model, num_envs, measured(model), device, graphs)
        self._task = task_on(c, device)
        self._starts = starts_on(entry.start(template, v5), device)

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(num_envs, *shape, dtype=dtype, device=device)

        (d,) = template.observation_space.shape
        long, flag = torch.int64, torch.bool
        self.episodes = Episodes(
            zeros(dtype=long), zeros(), zeros(dtype=long), zeros(dtype=long), zeros(d)
        )
        flags = [zeros(dtype=flag) for _ in range(3)]
        self.result = DeviceStep(self.episodes.observations, zeros(d), zeros(), *flags)
        self.failures = torch.zeros((), dtype=long, device=device)
        self._ended = zeros(dtype=flag)
        self._record(int(template.frame_skip), graphs)
        for tensor in (self.failures, self.physics.overflow, *self.episodes):
            tensor.zero_()

    def _record(self, frame_skip: int, graphs: bool) -> None:
        physics, forces = self.physics, self._task.c.use_contact_forces
        step = physics.recorded(lambda: physics.step(frame_skip, forces))
        settle = recorded(self._settle, physics.device, graphs)
        begin = [recorded(self._restart, physics.device, graphs)]
        if self.needs != NOTHING:
            derive = physics.place if self.needs == PLACES else physics.forward
            begin.append(physics.recorded(derive))
        begin.append(recorded(self._show, physics.device, graphs))
        self._begin, self._advance = begin, [step, settle, *begin]

    def advance(self, actions: Tensor) -> DeviceStep:
        """One control step of all worlds; actions (N, nu)."""
        self.physics.fields.ctrl.copy_(actions)
        for work in self._advance:
            work()
        return self.result

    def begin(self, chosen: Tensor) -> None:
        """Start new episodes in the chosen worlds (N,) bool."""
        self._ended.copy_(chosen)
        for work in self._begin:
            work()

    def _settle(self) -> None:
        """What the step just taken means: observations, rewards, and which episodes ended."""
        f, state, episodes, result = (
            self.physics.fields, self.physics.state, self.episodes, self.result,
        )  # fmt: skip
        good = torch.cat([state.qpos, state.qvel, state.qacc], dim=1).abs() <= TOO_LARGE
        failed = ~good.all(1)
        episodes.elapsed.add_(1)
        after = progress(self._task, f)
        rewards, terminated = score(self._task, f, f.ctrl, episodes.progress, after)
        episodes.progress.copy_(after)
        result.failed.copy_(failed)
        result.rewards.copy_(rewards.masked_fill(failed, 0.0))
        result.terminated.copy_(terminated | failed)
        if self.limit is not None:
            result.truncated.copy_((episodes.elapsed >= self.limit) & ~result.terminated)
        seen = observe(self._task, f)
        result.final_observations.copy_(torch.where(failed[:, None], episodes.observations, seen))
        episodes.observations.copy_(result.final_observations)
        self.failures.add_(failed.sum())
        self._ended.copy_(result.terminated | result.truncated)

    def _restart(self) -> None:
        """Put the worlds whose episode ended where their next one begins."""
        f, state, episodes, ended = (
            self.physics.fields, self.physics.state, self.episodes, self._ended,
        )  # fmt: skip
        c, rows = self._task.c, self._ended[:, None]
        start = draw(self._starts, episodes.seeds, episodes.counters)
        state.qpos.copy_(torch.where(rows, start[:, : c.nq], state.qpos))
        state.qvel.copy_(torch.where(rows, start[:, c.nq :], state.qvel))
        for tensor in (state.qacc_warmstart, state.act, f.ctrl, f.qfrc_actuator):
            tensor.masked_fill_(rows, 0.0)
        f.cfrc_ext.masked_fill_(rows[:, :, None], 0.0)
        state.time.masked_fill_(ended, 0.0)
        if c.task == ANT and self.needs == NOTHING:
            body = f.xpos[:, int(c.bodies[0])]
            body.copy_(torch.where(rows, start[:, :3], body))
        episodes.elapsed.masked_fill_(ended, 0)
        episodes.counters.add_(ended)

    def _show(self) -> None:
        """The first observations of the episodes that have just begun."""
        f, episodes, ended = self.physics.fields, self.episodes, self._ended
        first = observe(self._task, f)
        episodes.observations.copy_(torch.where(ended[:, None], first, episodes.observations))
        now = progress(self._task, f)
        episodes.progress.copy_(torch.where(ended, now, episodes.progress))


def recorded(work: Callable[[], None], device: torch.device, graphs: bool) -> Callable[[], None]:
    """A function that does this work, calls of torch on static tensors; on a GPU as a CUDA graph.

    The work itself is done a few times here, on a side stream as torch asks for.
    """
    if device.type != "cuda" or not graphs:
        return work
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
