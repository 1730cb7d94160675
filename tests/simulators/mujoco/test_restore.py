"""Snapshots of MuJoCo environments: the same actions give the same future, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.support.gym_reference import MUJOCO, copied, random_actions, simulator
from trpo_cli.simulators.base import Snapshot


def future(sim: Any, actions: Any, ids: Any) -> list[list[np.ndarray]]:
    """What the environments `ids` return for actions (T, len(ids), nu); the others get zeros."""
    rows = []
    for action in actions:
        full = np.zeros((sim.num_envs, *action.shape[1:]), action.dtype)
        full[ids] = action
        step = sim.step(full)
        finals = dict(zip(step.ended.tolist(), step.final_observations, strict=True))
        rows.append(
            [np.array(a[ids]) for a in copied(step)[:4]]
            + [np.array([finals[i] for i in ids if i in finals])]
        )
    return rows


def assert_same(ours: list[list[np.ndarray]], theirs: list[list[np.ndarray]]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("env_id", MUJOCO)
def test_same_future_across_episode_ends(env_id: str) -> None:
    sim = simulator(env_id, limit=12)
    sim.reset(seed=[4, 5, 6])
    actions = random_actions(sim, 30)
    for action in actions[:5]:
        sim.step(action)
    snapshot = sim.snapshot()
    observations = sim.step(actions[5]).observations.copy()  # any other state
    observations = sim.restore(snapshot).copy()
    np.testing.assert_array_equal(observations, snapshot.arrays["observations"])
    first = future(sim, actions[5:], [0, 1, 2])
    np.testing.assert_array_equal(sim.restore(snapshot), observations)
    assert_same(first, future(sim, actions[5:], [0, 1, 2]))


@pytest.mark.parametrize("env_id", MUJOCO)
def test_into_other_environments_of_another_simulator(env_id: str) -> None:
    sim = simulator(env_id, limit=12)
    sim.reset(seed=[4, 5, 6])
    actions = random_actions(sim, 25)
    for action in actions[:5]:
        observations = sim.step(action).observations.copy()
    snapshot = sim.snapshot([2, 0])
    expected = future(sim, actions[5:, [2, 0]], [2, 0])

    other = simulator(env_id, num_envs=5, threads=2, limit=12)
    other.reset(seed=range(5))
    for action in random_actions(other, 3, seed=1):
        kept = other.step(action).observations.copy()
    restored = other.restore(snapshot, [1, 4])
    np.testing.assert_array_equal(restored[[1, 4]], observations[[2, 0]])
    np.testing.assert_array_equal(restored[[0, 2, 3]], kept[[0, 2, 3]])
    assert_same(expected, future(other, actions[5:, [2, 0]], [1, 4]))


def test_one_state_into_all_environments() -> None:
    """What branching needs: copies of one row, which then differ by their actions only."""
    sim = simulator("Hopper-v4", num_envs=4)
    sim.reset(seed=[1, 2, 3, 4])
    sim.step(random_actions(sim, 1)[0])
    one = sim.snapshot([3])
    many = Snapshot({k: np.repeat(v, 4, axis=0) for k, v in one.arrays.items()}, one.items * 4)
    observations = sim.restore(many)
    assert (observations == observations[0]).all()
    step = sim.step(np.full((4, 3), 0.3))
    assert (step.observations == step.observations[0]).all()
    step = sim.step(random_actions(sim, 1)[0])
    assert not (step.observations[0] == step.observations[1]).all()


def test_items_survive_json() -> None:
    sim = simulator("Hopper-v4", limit=6)
    sim.reset(seed=[1, 2, 3])
    snapshot = sim.snapshot()
    actions = random_actions(sim, 10)
    expected = future(sim, actions, [0, 1, 2])
    sim.restore(Snapshot(snapshot.arrays, json.loads(json.dumps(snapshot.items))))
    assert_same(expected, future(sim, actions, [0, 1, 2]))


def test_snapshot_is_a_copy() -> None:
    sim = simulator("Hopper-v4")
    sim.reset(seed=[1, 2, 3])
    snapshot = sim.snapshot()
    before = {k: v.copy() for k, v in snapshot.arrays.items()}
    for action in random_actions(sim, 20):
        sim.step(action)
    for key, value in snapshot.arrays.items():
        np.testing.assert_array_equal(value, before[key])


def test_wrong_ids_are_refused() -> None:
    sim = simulator("Hopper-v4")
    sim.reset(seed=[1, 2, 3])
    snapshot = sim.snapshot([0, 1])
    with pytest.raises(ValueError, match="2 environments cannot be restored into 3"):
        sim.restore(snapshot)
    for ids in ([0, 0], [3], [-1]):
        with pytest.raises(ValueError, match="different indices below 3"):
            sim.snapshot(ids)
