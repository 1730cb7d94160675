"""Gymnasium environments come back by a replay, bit for bit, or say beforehand why not."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.support import hidden_state_envs
from tests.support.gym_reference import future, random_actions, simulator, stored
from trpo_cli.errors import UserError
from trpo_cli.simulators.gym.probe import why_not_exact
from trpo_cli.simulators.gym.replay import ActionLog, decode, encode

CLASSIC = [
    ("CartPole-v1", None),
    ("Pendulum-v1", 30),
    ("MountainCarContinuous-v0", 40),
    ("Acrobot-v1", 45),
    ("Hidden/Walk-v0", None),
    ("Hidden/Layout-v0", None),
]
ACTIONS = [
    spaces.Discrete(3, start=1),
    spaces.MultiDiscrete([3, 2], start=[1, 5]),
    spaces.MultiBinary(3),
    spaces.Box(-2.0, 2.0, (2,), np.float64),
    spaces.Box(-2.0, 2.0, (2, 2), np.float32),
]


def ends(rows: list[Any]) -> int:
    return sum(len(row) - 4 for row in rows)


@pytest.mark.parametrize(("env_id", "limit"), CLASSIC)
def test_same_future_in_another_simulator(env_id: str, limit: int | None, tmp_path: Any) -> None:
    assert hidden_state_envs.GENERATOR
    sim = simulator(env_id, limit=limit)
    sim.reset(seed=[4, 5, 6])
    actions = random_actions(sim, 300)
    assert ends(future(sim, actions[:100], [0, 1, 2])) >= 3
    before = sim.step(actions[100]).observations.copy()
    snapshot = sim.snapshot([2, 0])
    expected = future(sim, actions[101:, [2, 0]], [2, 0])
    assert ends(expected) >= 6

    other = simulator(env_id, num_envs=4, limit=limit)
    other.reset(seed=range(4))
    for action in random_actions(other, 3, seed=1):
        kept = other.step(action).observations.copy()
    restored = other.restore(stored(snapshot, tmp_path), [1, 3])
    np.testing.assert_array_equal(restored[[1, 3]], before[[2, 0]])
    np.testing.assert_array_equal(restored[[0, 2]], kept[[0, 2]])
    assert future(other, actions[101:, [2, 0]], [1, 3]) == expected


@pytest.mark.parametrize(("env_id", "limit"), CLASSIC)
def test_during_the_seeded_episode_and_into_new_environments(
    env_id: str, limit: int | None, tmp_path: Any
) -> None:
    sim = simulator(env_id, limit=limit)
    sim.reset(seed=[4, 5, 6])
    actions = random_actions(sim, 120)
    if "Walk" not in env_id and "Layout" not in env_id:
        assert not ends(future(sim, actions[:6], [0, 1, 2]))
    snapshot = stored(sim.snapshot(), tmp_path)
    assert [item["seed"] for item in snapshot.items] == [4, 5, 6]
    expected = future(sim, actions[6:], [0, 1, 2])
    other = simulator(env_id, limit=limit)  # never reset before
    other.restore(snapshot)
    assert future(other, actions[6:], [0, 1, 2]) == expected
    sim.restore(snapshot)
    assert future(sim, actions[6:], [0, 1, 2]) == expected


def test_without_any_seed(tmp_path: Any) -> None:
    sim, other = simulator("Hidden/Walk-v0"), simulator("Hidden/Walk-v0")
    sim.reset()
    actions = random_actions(sim, 90)
    for action in actions[:30]:
        sim.step(action)
    other.restore(stored(sim.snapshot(), tmp_path))
    assert future(other, actions[30:], [0, 1, 2]) == future(sim, actions[30:], [0, 1, 2])


IN_ANOTHER_PROCESS = """
import hashlib, json, sys
import numpy as np
from tests.support.gym_reference import random_actions, simulator
from tests.support.gym_reference import future
from trpo_cli.simulators.base import Snapshot

sim = simulator("CartPole-v1")
with np.load("arrays.npz", allow_pickle=False) as arrays:
    sim.restore(Snapshot(dict(arrays), json.load(open("items.json"))))
rows = future(sim, random_actions(sim, 120)[40:], [0, 1, 2])
print(hashlib.sha256(repr(rows).encode()).hexdigest())
"""


def test_in_another_process(tmp_path: Any) -> None:
    sim = simulator("CartPole-v1")
    sim.reset(seed=[4, 5, 6])
    actions = random_actions(sim, 120)
    assert ends(future(sim, actions[:40], [0, 1, 2]))
    (tmp_path / "items.json").write_text(json.dumps(stored(sim.snapshot(), tmp_path).items))
    expected = repr(future(sim, actions[40:], [0, 1, 2])).encode()
    here = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == hashlib.sha256(expected).hexdigest(), done.stderr


def test_what_was_restored_can_be_stored_again(tmp_path: Any) -> None:
    """A run may be killed and resumed any number of times, within one episode too."""
    sim = simulator("Hidden/Walk-v0")
    sim.reset(seed=[1, 2, 3])
    actions = random_actions(sim, 200)
    expected = future(sim, actions, [0, 1, 2])
    sim.reset(seed=[1, 2, 3])
    found: list[Any] = []
    for start in range(0, 200, 3):
        found += future(sim, actions[start : start + 3], [0, 1, 2])
        snapshot = stored(sim.snapshot(), tmp_path)
        if start % 30 == 0:
            sim = simulator("Hidden/Walk-v0")
        sim.restore(snapshot)
    assert found == expected[: len(found)]


def test_reset_of_some_in_the_middle(tmp_path: Any) -> None:
    sim = simulator("CartPole-v1", num_envs=3)
    sim.reset(seed=[1, 2, 3])
    actions = random_actions(sim, 80)
    for action in actions[:4]:
        sim.step(action)
    sim.reset([1])
    sim.step(actions[4])
    sim.reset([2], seed=[9])
    sim.step(actions[5])
    snapshot = stored(sim.snapshot(), tmp_path)
    assert snapshot.arrays["elapsed"].tolist() == [6, 2, 1]
    other = simulator("CartPole-v1", num_envs=3)
    other.restore(snapshot)
    assert future(other, actions[6:], [0, 1, 2]) == future(sim, actions[6:], [0, 1, 2])


@pytest.mark.parametrize("space", ACTIONS)
def test_actions_are_kept_exactly(space: Any, tmp_path: Any) -> None:
    sim, other = (simulator("Hidden/Walk-v0", actions=space) for _ in range(2))
    sim.reset(seed=[1, 2, 3])
    assert sim.snapshot().arrays["actions"].dtype in (sim.action_space.dtype, np.dtype(np.int64))
    actions = random_actions(sim, 90, dtype=np.float64)
    for action in actions[:30]:
        sim.step(action)
    other.restore(stored(sim.snapshot(), tmp_path))
    assert future(other, actions[30:], [0, 1, 2]) == future(sim, actions[30:], [0, 1, 2])


@pytest.mark.parametrize("name", ["PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_bit_generator_of_numpys(name: str, tmp_path: Any) -> None:
    sim, other = (simulator("Hidden/Walk-v0", bit_generator=name) for _ in range(2))
    sim.reset(seed=[1, 2, 3])
    actions = random_actions(sim, 90)
    for action in actions[:30]:
        sim.step(action)
    snapshot = stored(sim.snapshot(), tmp_path)
    assert {item["after"]["bit_generator"] for item in snapshot.items} == {name}
    for item in snapshot.items:
        item["seed"] = None  # the new environment's generator is then of another kind
        assert item["before"]
    other.restore(snapshot)
    assert future(other, actions[30:], [0, 1, 2]) == future(sim, actions[30:], [0, 1, 2])


def test_states_survive_json() -> None:
    for kind in (np.random.MT19937, np.random.Philox):
        one, two = kind(3), kind(4)
        two.state = decode(json.loads(json.dumps(encode(one.state))))
        assert (one.random_raw(5) == two.random_raw(5)).all()
    assert decode(encode(None)) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Curriculum", "Curriculum._episodes was not the same"),
        ("ClassCounter", "it changes ClassCounter.episodes"),
        ("GlobalNumpy", "draws from NumPy's global random generator"),
        ("GlobalPython", "draws from Python's global random generator"),
        ("SeedsGlobal", "draws from NumPy's global random generator"),
        ("ModuleGenerator", "a replay of an episode went another way"),
        ("Clock", "a replay of an episode went another way"),
        ("Deadline", "Deadline._until was not the same"),
        ("OwnGenerator", "a replay of an episode went another way"),
        ("UnseenGenerator", "UnseenGenerator._own was not the same"),
        ("Sampled", "Box._np_random was not the same|Sampled._goal was not the same"),
        ("OldGenerator", "a replay of an episode went another way"),
        ("Broken", r"could not be tried out \(RuntimeError: out of batteries\)"),
    ],
)
def test_refused_with_the_reason(name: str, words: str) -> None:
    sim = simulator(f"Hidden/{name}-v0")
    with pytest.raises(UserError, match=f"^env=Hidden/{name}-v0 cannot be restored: .*({words})"):
        sim.snapshot()
    assert not sim.why_not_restorable.endswith(".")


def test_wrappers_of_gymnasiums() -> None:
    def recorded() -> Any:
        return gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1"))

    def stacked() -> Any:  # draws from its space when it is constructed
        return gymnasium.wrappers.FrameStackObservation(gymnasium.make("CartPole-v1"), 4)

    def normalised() -> Any:
        return gymnasium.wrappers.NormalizeObservation(gymnasium.make("CartPole-v1"))

    for build in (recorded, stacked, normalised):
        assert why_not_exact(build, "replay") == ""


def test_trying_out_disturbs_nothing() -> None:
    """Neither the environments in use nor the global generators; and it happens once."""
    sim, other = simulator("Hidden/GlobalNumpy-v0"), simulator("Hidden/Walk-v0")
    twin = simulator("Hidden/Walk-v0")
    actions = random_actions(other, 40)
    other.reset(seed=[1, 2, 3])
    twin.reset(seed=[1, 2, 3])
    other.step(actions[0])
    twin.step(actions[0])
    np.random.seed(1)
    random.seed(1)
    assert sim.why_not_restorable and not other.why_not_restorable
    found = np.random.normal(), random.random()
    np.random.seed(1)
    random.seed(1)
    assert found == (np.random.normal(), random.random())
    assert future(other, actions[1:], [0, 1, 2]) == future(twin, actions[1:], [0, 1, 2])

    made = []

    def build() -> Any:
        made.append(gymnasium.make("CartPole-v1"))
        return made[-1]

    assert why_not_exact(build, "replay") == "" and len(made) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.arrays["actions"].__setitem__((1, 0), 1 - s.arrays["actions"][1, 0]), ""),
        (lambda s: s.arrays["elapsed"].__isub__(1), "the observation is another one"),
        (lambda s: s.arrays["returns"].__iadd__(1), "the rewards add up to another sum"),
        (lambda s: s.items[1].update(seed=77, before=None), "the observation is another one"),
        (
            lambda s: s.items[1]["after"].update(uinteger=1),
            "its generator is in another state",
        ),
        (lambda s: s.items[1].pop("before"), "the replay raised KeyError"),
    ],
)
def test_a_changed_snapshot_is_noticed(change: Any, words: str, tmp_path: Any) -> None:
    sim = simulator("CartPole-v1", num_envs=2)
    sim.reset(seed=[1, 2])
    sim.reset()
    for action in random_actions(sim, 5):
        sim.step(action)
    snapshot = stored(sim.snapshot(), tmp_path)
    change(snapshot)
    match = rf"environment \d could not be brought back to where it was: {words}"
    with pytest.raises(UserError, match=match):
        sim.restore(snapshot)


def test_an_environment_that_changed_its_ways_is_noticed(monkeypatch: Any) -> None:
    sim = simulator("Hidden/Turncoat-v0", num_envs=1)
    sim.reset(seed=[0])
    for action in random_actions(sim, 40):
        if not sim.step(action).ended.size:
            break
    snapshot = sim.snapshot()
    monkeypatch.setattr(hidden_state_envs, "MINUTE", 10)
    with pytest.raises(UserError, match="brought back to where it was: the episode ended earlier"):
        sim.restore(snapshot)


def test_wrong_ids_and_too_early() -> None:
    sim = simulator("CartPole-v1")
    with pytest.raises(ValueError, match="environment 0 has not been reset"):
        sim.snapshot()
    sim.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="2 environments cannot be restored into 3"):
        sim.restore(sim.snapshot([0, 1]))
    for ids in ([0, 0], [3], [-1]):
        with pytest.raises(ValueError, match="different indices below 3"):
            sim.snapshot(ids)


def test_action_log_keeps_what_current_episodes_took() -> None:
    """Against lists, with room for four rows at first."""
    generator = np.random.default_rng(0)
    log, lists = ActionLog(3, (2,), np.float32, rows=4), [[] for _ in range(3)]  # type: ignore[var-annotated]
    for _ in range(400):
        actions = generator.normal(size=(3, 2)).astype(np.float32)
        np.testing.assert_array_equal(log.append(actions), actions)
        for i in range(3):
            lists[i].append(actions[i])
            if generator.random() < 0.1:
                log.restart(i)
                lists[i] = []
            elif generator.random() < 0.05:
                lists[i] = list(generator.normal(size=(generator.integers(60), 2)))
                log.put(i, np.array(lists[i]).reshape(-1, 2))
        for i in range(3):
            expected = np.array(lists[i], np.float32).reshape(-1, 2)
            np.testing.assert_array_equal(log.episode(i), expected)
    with pytest.raises(ValueError, match=r"actions \(3,\), expected \(3, 2\)"):
        log.append(np.zeros(3))
