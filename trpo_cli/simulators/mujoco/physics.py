"""Workplaces for simulations of one model: an `MjData` each, and the addresses of its fields."""

from __future__ import annotations

import mujoco
import numpy as np

from trpo_cli.simulators.mujoco.tasks.parts import FIELDS

_UNSTABLE = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
    int(mujoco.mjtWarning.mjWARN_BADCTRL),
]
FIRST_WARNING, LAST_WARNING = min(_UNSTABLE), max(_UNSTABLE)
"""Between these, every warning says that the simulation is unstable."""

DATA, WARNINGS, FIRST_FIELD = 0, 1, 2
"""Columns of a place's addresses: the MjData itself, its warnings, the fields that tasks read."""


class Places:
    """Where simulations are stepped: an MjData each, which holds one simulation at a time.

    A simulation is a row of `mjSTATE_INTEGRATION` (which includes the solver's warm start). It is
    put into a place, stepped there for as long as one likes, and its state taken out again. So
    there are as many places as threads times what a thread steps in turn, however many
    simulations there are.
    """

    def __init__(self, model: mujoco.MjModel, count: int) -> None:
        self._data = [mujoco.MjData(model) for _ in range(count)]
        self.addresses = np.array([_addresses(data) for data in self._data])
        """(count, columns) int64, for compiled code."""

    def __len__(self) -> int:
        return len(self._data)


def _addresses(data: mujoco.MjData) -> list[int]:
    fields = [getattr(data, name).ctypes.data for name in FIELDS]
    return [data._address, data.warning.number.ctypes.data, *fields]
