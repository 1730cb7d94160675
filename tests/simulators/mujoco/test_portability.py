"""Gymnasium's numbers to the bit, whatever runs the tasks: compiled code counts on no processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gym_reference import (
    assert_equal_resets,
    assert_equal_steps,
    random_actions,
    reference,
    simulator,
)

REPOSITORY = Path(__file__).parents[3]
TASKS = ("Hopper-v4", "Reacher-v4")


def check() -> None:
    for task in TASKS:
        sim, envs = simulator(task, num_envs=2, limit=15), reference(task, num_envs=2, limit=15)
        assert_equal_resets(sim, envs)
        assert sum(assert_equal_steps(sim, envs, random_actions(sim, 40))) >= 4


@pytest.mark.parametrize(
    "setting",
    ["NUMBA_DISABLE_JIT=1", pytest.param("NUMBA_CPU_NAME=generic", marks=pytest.mark.slow)],
)
def test_equals_gymnasium(setting: str) -> None:
    name, value = setting.split("=")
    code = "from tests.simulators.mujoco.test_portability import check; check()"
    subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env={**os.environ, name: value}, check=True
    )
