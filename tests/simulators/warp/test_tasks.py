"""The tasks' torch formulas against the compiled ones, which tests hold to Gymnasium's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.simulators.mujoco.test_simulator import ENDLESS, VARIATIONS
from tests.support.gym_reference import MUJOCO
from tests.support.mujoco_tasks import entry
from trpo_cli.simulators.mujoco import tasks as compiled
from trpo_cli.simulators.mujoco.tasks.parts import Fields as OneWorld
from trpo_cli.simulators.warp.tasks import Fields, Task, observe, progress, score, task_on

N = 200

# Both sides compute in double precision here. The largest sum is of some hundred squares of numbers
# up to some hundred (forces on bodies): its rounding errors are below 1e3 * 1e-16 of it.
CLOSE = 1e-12

TASKS: list[tuple[str, dict[str, Any]]] = [(env_id, {}) for env_id in MUJOCO]


def states(env: Any, c: Any, seed: int) -> dict[str, np.ndarray]:
    """(N, ...) for each field: numbers around those that decide something, some beyond clips."""
    generator, body = np.random.default_rng(seed), c.nbody
    sizes = [c.nq, c.nv, c.nu, (body, 3), (body, 3), (c.nsite, 3), body * 10, body * 6]
    sizes += [c.nv, c.nv, body * 6]
    made = {
        name: generator.standard_normal((N, *np.atleast_1d(size)))
        for name, size in zip(OneWorld._fields, sizes, strict=True)
    }
    made["qpos"] = env.init_qpos + 0.2 * made["qpos"]
    made["qvel"] *= np.where(generator.random((N, 1)) < 0.5, 0.1, 8.0)
    made["qfrc_constraint"] *= 8.0
    made["site_xpos"] += 1.0
    return made


@pytest.mark.parametrize(("env_id", "kwargs"), TASKS + VARIATIONS)
def test_equals_the_compiled_task(env_id: str, kwargs: dict[str, Any]) -> None:
    env, found, v5 = entry(env_id, **kwargs)
    c = found.constants(env, v5)
    made, before = states(env, c, 1), np.random.default_rng(2).standard_normal(N)
    action = made["ctrl"]
    shown = np.zeros((N, *env.observation_space.shape))
    after, rewards, ends = np.zeros(N), np.zeros(N), np.zeros(N, dtype=bool)
    for i in range(N):
        world = OneWorld(*(made[name][i].copy() for name in OneWorld._fields))
        compiled.observe(c, world, shown[i])
        after[i] = compiled.progress(c, world)
        rewards[i], ends[i] = compiled.score(c, world, action[i], before[i], after[i])
    shapes = {"cinert": (N, c.nbody, 10), "cvel": (N, c.nbody, 6), "cfrc_ext": (N, c.nbody, 6)}
    fields = {name: torch.tensor(made[name].reshape(shapes.get(name, made[name].shape)))
              for name in Fields._fields}  # fmt: skip
    f = Fields(**fields)
    task = Task(c, *(torch.tensor(x) for x in (c.low, c.high, c.masses)))
    ours = progress(task, f)
    np.testing.assert_allclose(ours.numpy(), after, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(observe(task, f).numpy(), shown, rtol=CLOSE, atol=CLOSE)
    reward, ended = score(task, f, torch.tensor(action), torch.tensor(before), ours)
    np.testing.assert_allclose(reward.numpy(), rewards, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_array_equal(ended.numpy(), ends)
    terminates = not env_id.startswith(ENDLESS) and kwargs.get("terminate_when_unhealthy", True)
    assert ends.any() == terminates and not ends.all()


@pytest.mark.parametrize("env_id", MUJOCO)
def test_stays_in_single_precision(env_id: str) -> None:
    env, found, v5 = entry(env_id)
    task = task_on(found.constants(env, v5), torch.device("cpu"))
    c = task.c
    shapes: dict[str, tuple[int, ...]] = {
        "qpos": (c.nq,), "ctrl": (c.nu,), "xpos": (c.nbody, 3), "xipos": (c.nbody, 3),
        "site_xpos": (c.nsite, 3), "cinert": (c.nbody, 10), "cvel": (c.nbody, 6),
        "cfrc_ext": (c.nbody, 6),
    }  # fmt: skip
    f = Fields(*(torch.ones(4, *shapes.get(name, (c.nv,))) for name in Fields._fields))
    after = progress(task, f)
    reward, ended = score(task, f, f.ctrl, after, after)
    assert {x.dtype for x in (after, reward, observe(task, f))} == {torch.float32}
    assert ended.dtype == torch.bool and reward.shape == ended.shape == after.shape == (4,)
    assert observe(task, f).shape == (4, *env.observation_space.shape)


def test_a_failed_state_is_not_healthy() -> None:
    """Infinite coordinates end an Ant's episode, as ``np.isfinite`` does in Gymnasium."""
    env, found, v5 = entry("Ant-v4")
    c = found.constants(env, v5)
    made = {name: torch.tensor(array) for name, array in states(env, c, 1).items()}
    made["qpos"][:] = torch.tensor(env.init_qpos)
    made["qvel"][0, 3], made["qvel"][1, 3] = float("inf"), float("nan")
    for name, width in (("cinert", 10), ("cvel", 6), ("cfrc_ext", 6)):
        made[name] = made[name].reshape(N, c.nbody, width)
    task, zeros = task_on(c, torch.device("cpu")), torch.zeros(N)
    ended = score(task, Fields(**made), made["ctrl"], zeros, zeros)[1]
    assert ended[:2].all() and not ended[2:].any()
