"""How many contacts and constraints a world needs room for."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

EPISODES, STEPS = 12, 500
"""How much is simulated to find out: physics steps in each of some episodes."""


class Sizes(NamedTuple):
    """Room in one world: contacts (a mean over all worlds, who share theirs), constraint rows."""

    contacts: int
    constraints: int


def measured(model: mujoco.MjModel) -> Sizes:
    """Twice what MuJoCo itself needs at most while the model falls, sways with full controls of
    changing signs, and trembles with random ones; and a little more.

    The room for contacts is four times theirs: it also holds the pairs of geoms that may touch, of
    which a mean of 21 was seen in worlds of lying humanoids with 9 contacts. Drawn from a generator
    of its own, so that it is always the same for a model.
    """
    data, generator = mujoco.MjData(model), np.random.default_rng(0)
    contacts = constraints = 0
    low, high = np.where(model.actuator_ctrllimited[:, None], model.actuator_ctrlrange, [-1, 1]).T
    for episode in range(EPISODES):
        mujoco.mj_resetData(model, data)
        data.qvel += 0.1 * generator.standard_normal(model.nv)
        for k in range(STEPS):
            if episode % 3 == 1 and k % 100 == 0:
                data.ctrl = np.where(generator.random(model.nu) < 0.5, low, high)
            elif episode % 3 == 2 and k % 5 == 0:
                data.ctrl = generator.uniform(low, high)
            mujoco.mj_step(model, data)
            contacts, constraints = max(contacts, data.ncon), max(constraints, data.nefc)
    return Sizes(4 * contacts + 16, 2 * constraints + 16)
