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


def runnable(model: mujoco.MjModel) -> mujoco.MjModel:
    """The model, or a copy of it with the solver that stands in for PGS."""
    if with_other_solver(model):
        model = copy.copy(model)
        model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    return model


def check_model(model: mujoco.MjModel) -> None:
    """Raise `UserError` for a model with features that MuJoCo Warp does not have."""
    try:
        with warp.ScopedDevice("cpu"):
            mujoco_warp.put_model(runnable(model))
    except (NotImplementedError, ValueError) as error:
        raise UserError(
            f"env.backend=warp cannot simulate this model: {str(error).rstrip('.')}. "
            "env.backend=auto runs it on MuJoCo itself."
        ) from error


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
        self._streams: dict[int, Any] = {}
        self.warp_device = warp.device_from_torch(device)
        model = runnable(model)
        with warp.ScopedDevice(self.warp_device):
            self._model = mujoco_warp.put_model(model)
            options = self._model.opt
            options.warn_overflow = 0  # `overflow` tells; a kernel's own words flood the terminal
            if device.type == "cuda":
                options.graph_conditional = warp.is_conditional_graph_supported()
            self._data = mujoco_warp.make_data(
                model, num_worlds, nconmax=sizes.contacts, njmax=sizes.constraints
            )
            warp.synchronize_device()  # what follows is on torch's stream
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
        return lambda: warp.capture_launch(graph, self._stream())

    def _stream(self) -> Any:
        """Torch's current stream as Warp knows it; None on the CPU."""
        if self.device.type != "cuda":
            return None
        stream = torch.cuda.current_stream(self.device)
        if stream.cuda_stream not in self._streams:
            self._streams[stream.cuda_stream] = warp.stream_from_torch(stream)
        return self._streams[stream.cuda_stream]

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        """Warp works on this device, and on torch's current stream."""
        with warp.ScopedDevice(self.warp_device), warp.ScopedStream(self._stream()):
            yield

    def lost(self) -> list[str]:
        """What found no room in some world since `overflow` was cleared, sorted; waits for the
        device."""
        bits = int(np.bitwise_or.reduce(self.overflow.cpu().numpy()))
        return sorted({what for bit, what in ROOM.items() if bits & bit})
