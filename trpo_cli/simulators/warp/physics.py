"""The physics of N worlds on one device: MuJoCo Warp's steps over memory that torch sees."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp
from torch import Tensor

from trpo_cli.errors import UserError
from trpo_cli.simulators.warp.sizes import Sizes
from trpo_cli.simulators.warp.tasks import Fields

warp.config.log_level = warp.LOG_WARNING  # it would list devices and every kernel it loads
warp.init()

Overflow = mujoco_warp.OverflowType
ROOM = {
    Overflow.NEFC: "constraints",
    Overflow.NJMAX_NNZ: "constraints",
    Overflow.BROADPHASE: "pairs of geoms",
    Overflow.NARROWPHASE: "contacts",
    Overflow.CCD: "contacts",
    Overflow.HFIELD: "contacts",
    Overflow.EPA_HORIZON: "contacts",
}
"""What a world lost when a bit of `Physics.overflow` is set, where it lost something."""


def with_other_solver(model: mujoco.MjModel) -> bool:
    """Whether a model asks for the PGS solver, which MuJoCo Warp lacks. Its Newton solver looks for
    the same forces."""
    return bool(model.opt.solver == mujoco.mjtSolver.mjSOL_PGS)


def put_model(model: mujoco.MjModel) -> Any:
    """A model on Warp's current device.

    Raises `UserError` for one with features that MuJoCo Warp does not have.
    """
    if with_other_solver(model):
        model = copy.copy(model)
        model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    try:
        return mujoco_warp.put_model(model)
    except (NotImplementedError, ValueError) as error:
        raise UserError(
            f"env.backend=warp cannot simulate this model: {str(error).rstrip('.')}. "
            "env.backend=auto runs it on MuJoCo itself."
        ) from error


def check_model(model: mujoco.MjModel) -> None:
    """Raise `UserError` for a model with features that MuJoCo Warp does not have."""
    with warp.ScopedDevice("cpu"):
        put_model(model)


class State(NamedTuple):
    """The state of N worlds, and their last accelerations."""

    qpos: Tensor
    qvel: Tensor
    qacc: Tensor
    qacc_warmstart: Tensor
    act: Tensor
    time: Tensor


class Physics:
    """N worlds of one model.

    fields, state: tensors over the memory of the worlds, without a copy. overflow: (N,) int32,
        the bits of `mujoco_warp.OverflowType` that were set since it was cleared.
    graphs: record the work once and replay it afterwards; on a GPU as a CUDA graph.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        num_worlds: int,
        sizes: Sizes,
        device: torch.device,
        graphs: bool,
    ) -> None:
        if device.type == "cuda" and device.index is None:  # Warp wants to know which
            device = torch.device("cuda", torch.cuda.current_device())
        self.device, self.graphs = device, graphs
        self.warp_device = warp.device_from_torch(device)
        with warp.ScopedDevice(self.warp_device):
            self._model = put_model(model)
            options = self._model.opt
            options.warn_overflow = 0  # `overflow` tells; a kernel's own words flood the terminal
            self._data = mujoco_warp.make_data(
                model, num_worlds, nconmax=sizes.contacts, njmax=sizes.constraints
            )
        self.fields = Fields(*(self._tensor(name) for name in Fields._fields))
        self.state = State(*(self._tensor(name) for name in State._fields))
        self.overflow = self._tensor("overflow")

    def _tensor(self, name: str) -> Tensor:
        return warp.to_torch(getattr(self._data, name))

    def step(self, times: int, forces: bool) -> None:
        """Advance all worlds by some physics steps. forces: `fields.cfrc_ext` afterwards too."""
        for _ in range(times):
            mujoco_warp.step(self._model, self._data)
        if forces:
            mujoco_warp.rne_postconstraint(self._model, self._data)

    def place(self) -> None:
        """Bring what depends on positions and velocities alone up to date, without dynamics."""
        mujoco_warp.kinematics(self._model, self._data)
        mujoco_warp.com_pos(self._model, self._data)
        mujoco_warp.com_vel(self._model, self._data)

    def forward(self) -> None:
        """Bring all derived fields up to date, except `fields.cfrc_ext`."""
        mujoco_warp.forward(self._model, self._data)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """A function that does this work, calls of Warp, on torch's current stream.

        The work itself is done once here, where it loads or compiles its kernels.
        """

        def run() -> None:
            with self._scope():
                work()

        run()
        if not self.graphs:
            return run
        # On a GPU, Warp's own stream records: torch's default stream cannot.
        with warp.ScopedDevice(self.warp_device), warp.ScopedCapture() as capture:
            work()
        graph = capture.graph

        def replay() -> None:
            with self._scope():
                warp.capture_launch(graph)

        return replay

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        with warp.ScopedDevice(self.warp_device):
            if self.device.type == "cuda":
                current: Any = warp.stream_from_torch(torch.cuda.current_stream(self.device))
                with warp.ScopedStream(current, sync_enter=False):
                    yield
            else:
                yield

    def lost(self) -> list[str]:
        """What found no room in some world since `overflow` was cleared, sorted; waits for the
        device."""
        bits = int(np.bitwise_or.reduce(self.overflow.cpu().numpy()))
        return sorted({what for bit, what in ROOM.items() if bits & bit})
