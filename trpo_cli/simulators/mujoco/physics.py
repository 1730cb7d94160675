"""Many MuJoCo simulations of one model, stepped on MuJoCo's native thread pool."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

_UNSTABLE = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
    int(mujoco.mjtWarning.mjWARN_BADCTRL),
]


def keep_quiet() -> None:
    """Swallow MuJoCo's warnings, which it would print and write into the working directory.

    Unstable simulations are counted by the simulator instead. A handler that somebody has
    installed already is left alone.
    """
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_ignore)


def _ignore(message: str) -> None:
    pass


class Physics:
    """N simulations of one model; one call steps them all, without the interpreter lock.

    All arrays are live: they show what the last call left. A row of `mjSTATE_INTEGRATION` (which
    includes the solver's warm start) is everything that decides a simulation's future.

    contact_forces: also compute `cfrc_ext`. That takes ``mj_rnePostConstraint`` after the last
        substep, which the native pool does not run. The pool then keeps one MjData for each
        simulation, and each is copied out (about 6 microseconds) for the extra call. Python
        threads that step MjData of their own are no more than 5% faster than that.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        num: int,
        threads: int,
        frame_skip: int,
        contact_forces: bool = False,
    ) -> None:
        self.model = model
        self._frame_skip = frame_skip
        self._batch = Batch(model, num, threads, persistent=contact_forces)
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self._state: np.ndarray = self._batch.state
        self._fresh = self._state[0].copy()
        start = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_TIME)  # what precedes qpos
        self.coordinates = self._state[:, start : start + model.nq + model.nv]
        """(N, nq + nv): positions, then velocities, as they stand side by side in the state."""
        self.ctrl: np.ndarray = self._batch.bind("ctrl")
        """(N, nu)."""
        self._unstable = self._batch.warning[:, min(_UNSTABLE) : max(_UNSTABLE) + 1, 1]
        self._copy = mujoco.MjData(model) if contact_forces else None
        self._forces = np.zeros((num, model.nbody, 6)) if contact_forces else None

    def field(self, name: str) -> np.ndarray:
        """A derived MjData field, (N, ...), as `mj_step` or `mj_forward` leaves it."""
        if name != "cfrc_ext":
            bound: np.ndarray = self._batch.bind(name)
            return bound
        if self._forces is None:
            raise ValueError("these simulations were made without contact forces")
        return self._forces

    def step(self, ids: np.ndarray | None = None) -> np.ndarray | None:
        """One control step of the simulations `ids`, or all. Returns those that failed (F,), or
        None.

        MuJoCo puts an unstable simulation back to the model's start and counts a warning; one
        in which it raised keeps the state from before the call.
        """
        raised: np.ndarray | None = None
        try:
            self._batch.step(ids, self._frame_skip)
        except SimulationError as error:
            raised = error.ids
        if self._forces is not None:
            self._compute_forces(range(len(self._state)) if ids is None else ids.tolist())
        if raised is None and not self._unstable.any():
            return None
        unstable = np.flatnonzero(self._unstable.any(axis=1))
        return unstable if raised is None else np.union1d(unstable, raised)

    def _compute_forces(self, ids: Sequence[int], after_step: bool = True) -> None:
        forces, copy = self._forces, self._copy
        assert forces is not None and copy is not None
        for i in ids:
            self._batch.get_data(i, copy)
            if after_step:
                mujoco.mj_rnePostConstraint(self.model, copy)
            forces[i] = copy.cfrc_ext

    def restart(self, ids: np.ndarray, coordinates: np.ndarray) -> None:
        """Reset the simulations `ids` (ascending, unique) and start them at (E, nq + nv)."""
        self._state[ids] = self._fresh
        self.coordinates[ids] = coordinates
        self._batch.warning[ids] = 0
        self._batch.forward(ids)
        if self._forces is not None:
            self._compute_forces(ids.tolist(), after_step=False)

    def get_state(self, ids: np.ndarray) -> np.ndarray:
        """(E, nstate): everything that decides the future of the simulations `ids`."""
        return self._state[ids]

    def set_state(self, ids: np.ndarray, state: np.ndarray) -> None:
        """Derived fields show the new state after the next step only."""
        self._state[ids] = state
        self._batch.warning[ids] = 0
