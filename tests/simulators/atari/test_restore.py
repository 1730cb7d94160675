"""Snapshots of Atari games: the same actions give the same future, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest

from tests.support.atari_reference import atari, sticky_random
from tests.support.gym_reference import copied
from trpo_cli.simulators.base import Simulator, Snapshot

gymnasium.register_envs(ale_py)
GAMES = [name for name in gymnasium.registry if name.startswith("ALE/")]
FEW = [
    "ALE/Breakout-v5",
    "ALE/Pong-v5",
    *(
        pytest.param(f"ALE/{name}-v5", marks=pytest.mark.slow)
        for name in ("MontezumaRevenge", "Qbert")
    ),
]


def future(sim: Simulator, actions: Any) -> list[list[np.ndarray]]:
    return [copied(sim.step(action)) for action in actions]


def assert_same(ours: list[list[np.ndarray]], theirs: list[list[np.ndarray]]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def check(env_id: str, steps: int, limit: int | None, **settings: Any) -> int:
    """Restore into the same simulator, into another one, and one row into all of the other;
    returns how many episodes ended after the snapshot."""
    sim = atari(env_id, limit=limit, **settings)
    assert sim.why_not_restorable == ""
    other = atari(env_id, num_envs=3, threads=2, limit=limit, **settings)
    sim.reset(seed=[4, 5])
    actions = sticky_random(sim, steps)
    future(sim, actions[:11])
    snapshot = sim.snapshot()
    observations = sim.restore(snapshot).copy()
    np.testing.assert_array_equal(observations, snapshot.arrays["stack"])
    first = future(sim, actions[11:])
    np.testing.assert_array_equal(sim.restore(snapshot), observations)
    assert_same(first, future(sim, actions[11:]))

    other.reset(seed=[7, 8, 9])
    future(other, np.ones((3, 3), int))
    np.testing.assert_array_equal(
        other.restore(snapshot.rows([1, 0]), [0, 2])[[2, 0]], observations
    )
    for action, expected in zip(actions[11:50], first, strict=False):
        got = copied(other.step(np.array([action[1], 0, action[0]])))
        for ours, theirs in zip(expected[:4], got, strict=False):
            np.testing.assert_array_equal(ours, theirs[[2, 0]])
    other.restore(snapshot.rows([1, 1, 1]))
    for action, expected in zip(actions[11:30], first, strict=False):
        got = copied(other.step(np.full(3, action[1])))
        for ours, theirs in zip(expected[:4], got, strict=False):
            np.testing.assert_array_equal(np.repeat(ours[1:], 3, 0), theirs)
    sim.close()
    other.close()
    return sum(len(step[4]) for step in first)


@pytest.mark.parametrize("env_id", FEW)
def test_same_future_across_episode_ends(env_id: str) -> None:
    assert check(env_id, 90, limit=25) >= 4


def test_through_the_ends_of_the_game_itself() -> None:
    assert check("ALE/Breakout-v5", 500, limit=None, fire_reset=False) >= 2


@pytest.mark.parametrize("sticky_actions", [pytest.param(0.0, marks=pytest.mark.slow), 0.6])
def test_repeated_actions_and_random_frame_skips(sticky_actions: float) -> None:
    check("SpaceInvaders-v4", 90, limit=30, sticky_actions=sticky_actions)


def test_every_frame_seen() -> None:
    check("ALE/Breakout-v5", 120, limit=40, frame_skip=1, frame_stack=2)


@pytest.mark.slow
@pytest.mark.parametrize("frame_skip", [1, 4])
@pytest.mark.parametrize("env_id", GAMES)
def test_every_game(env_id: str, frame_skip: int) -> None:
    assert check(env_id, 130, limit=45, frame_skip=frame_skip) >= 4


@pytest.mark.parametrize(
    ("frame_skip", "env_id"),
    [
        pytest.param(1, "ALE/TicTacToe3D-v5", marks=pytest.mark.slow),
        pytest.param(4, "ALE/TicTacToe3D-v5", marks=pytest.mark.slow),
        (1, "ALE/Qbert-v5"),
        pytest.param(4, "ALE/Qbert-v5", marks=pytest.mark.slow),
    ],
)
def test_while_a_game_computes_without_drawing(env_id: str, frame_skip: int) -> None:
    """A snapshot at every moment, also where the emulator's own state would not do."""
    settings: dict[str, Any] = {"frame_skip": frame_skip, "noop_max": 0, "fire_reset": False}
    sim, other = atari(env_id, limit=40, **settings), atari(env_id, limit=40, **settings)
    sim.reset(seed=[1, 2])
    other.reset(seed=[3, 4])
    actions = sticky_random(sim, 61)
    replayed = 0
    for t in range(60):
        snapshot = sim.snapshot()
        replayed += int((snapshot.arrays["replay_length"] > 0).sum())
        expected = copied(sim.step(actions[t]))
        other.restore(snapshot)
        for ours, theirs in zip(expected, copied(other.step(actions[t])), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        other.step(actions[t + 1])  # away again, to wherever
    assert replayed > 0
    sim.close()
    other.close()


def test_states_go_through_json_and_files(tmp_path: Any) -> None:
    sim = atari("ALE/Pong-v5")
    sim.reset(seed=[1, 2])
    actions = sticky_random(sim, 40)
    future(sim, actions[:5])
    snapshot = sim.snapshot()
    np.savez(tmp_path / "arrays.npz", allow_pickle=False, **snapshot.arrays)
    items = json.loads(json.dumps(snapshot.items))
    first = future(sim, actions[5:])
    with np.load(tmp_path / "arrays.npz") as arrays:
        loaded = {name: arrays[name] for name in snapshot.arrays}
    sim.restore(Snapshot(loaded, items))
    assert_same(first, future(sim, actions[5:]))
    sim.close()


@pytest.mark.parametrize(
    "env_id",
    [pytest.param("ALE/Pong-v5", marks=pytest.mark.slow), "Pong-v0", "ALE/TicTacToe3D-v5"],
)
def test_reseeding_gives_another_future_and_changes_nothing_else(env_id: str) -> None:
    sim, other = atari(env_id, limit=30), atari(env_id, num_envs=3, limit=30)
    sim.reset(seed=[1, 1])
    other.reset(seed=[7, 8, 9])
    actions = sticky_random(sim, 80)[:, :1].repeat(2, 1)
    future(sim, actions[:10])
    snapshot = sim.snapshot()
    assert sim.why_not_branchable == ""
    sim.reseed([0, 1], [5, 6])
    reseeded = sim.snapshot(portable=False)
    np.testing.assert_array_equal(reseeded.arrays["stack"], snapshot.arrays["stack"])
    np.testing.assert_array_equal(reseeded.arrays["counts"], snapshot.arrays["counts"])
    first = future(sim, actions[10:])
    assert any((step[0][0] != step[0][1]).any() for step in first)
    # The same seed has the same future, from either moment, here and elsewhere.
    sim.restore(snapshot)
    sim.reseed([1, 0], [6, 5])
    assert_same(first[:30], future(sim, actions[10:40]))
    middle = sim.snapshot()
    other.restore(reseeded.rows([1, 0]), [0, 2])
    for action, expected in zip(actions[10:], first, strict=True):
        got = copied(other.step(np.array([action[1], 0, action[0]])))
        for ours, theirs in zip(expected[:4], got, strict=False):
            np.testing.assert_array_equal(ours, theirs[[2, 0]])
    other.restore(middle, [1, 2])
    got = copied(other.step(actions[40][[0, 0, 1]]))
    np.testing.assert_array_equal(first[30][0], got[0][1:])
    sim.close()
    other.close()


def test_snapshot_leaves_the_future_alone() -> None:
    one, two = atari("ALE/Pong-v5"), atari("ALE/Pong-v5")
    one.reset(seed=[1, 2])
    two.reset(seed=[1, 2])
    for action in sticky_random(one, 20):
        one.snapshot([1])
        for ours, theirs in zip(copied(one.step(action)), copied(two.step(action)), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    one.close()
    two.close()


def test_wrong_use_is_refused_and_harms_nothing() -> None:
    sim = atari("ALE/Pong-v5")
    with pytest.raises(ValueError, match="has not been reset"):
        sim.snapshot()
    with pytest.raises(ValueError, match="have not all been reset"):
        sim.step(np.zeros(2, int))
    sim.reset(seed=[1, 2])
    snapshot = sim.snapshot()
    with pytest.raises(ValueError, match="different indices below 2"):
        sim.snapshot([0, 0])
    with pytest.raises(ValueError, match="different indices below 2"):
        sim.restore(snapshot, [0, 2])
    with pytest.raises(ValueError, match="cannot be restored into 1"):
        sim.restore(snapshot, [0])
    with pytest.raises(ValueError, match="expected"):
        sim.step(np.zeros(3, int))
    with pytest.raises(ValueError, match="below 6"):
        sim.step(np.array([0, 6]))
    sim.step(np.zeros(2, int))
    sim.close()
