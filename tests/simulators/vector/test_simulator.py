"""Native vector environments: the steps of ordinary ones, one by one, without filler rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.support.gym_reference import copied, future, random_actions, stored
from tests.support.vector_envs import LIMIT
from trpo_cli.config import EnvConfig
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.same_future import same_future

MODES = ["NEXT_STEP", "SAME_STEP", "DISABLED"]
DRIFT = "Vector/Drift-v0"


def made(
    env_id: str = "CartPole-v1", num_envs: int = 3, limit: int | None = None, **kwargs: Any
) -> Any:
    config = EnvConfig(env_id, kwargs=kwargs, max_episode_steps=limit, vector="native")
    return make_simulator(config, num_envs, 1, native=True)


@pytest.mark.parametrize("limit", [None, 12])
def test_every_step_is_one_of_the_ordinary_environment(limit: int | None) -> None:
    """From the same state and action CartPole's own class comes to the same observation, reward and
    end. Sines of arrays may differ from those of numbers in the last bit of double precision, which
    single precision rarely shows: one unit in its last place, 1.2e-7."""
    sim, n = made(num_envs=5, limit=limit), 5
    ordinary: Any = gymnasium.make("CartPole-v1").unwrapped
    most, ends, times = limit or 500, [0, 0], np.zeros(n, int)
    observations = sim.reset(seed=range(n)).copy()
    assert sim.backend == "gymnasium" and sim.max_episode_steps == most
    for actions in random_actions(sim, 150):
        states = sim._state.rows()["state"]
        np.testing.assert_array_equal(states.astype(np.float32), observations)
        step = sim.step(actions)
        times += 1
        finals = dict(zip(step.ended.tolist(), step.final_observations, strict=True))
        for i in range(n):
            ordinary.reset()
            ordinary.state = states[i]
            expected, reward, terminated, _, _ = ordinary.step(actions[i])
            over = bool(terminated or times[i] == most)
            assert over == (i in finals)
            found = finals[i] if over else step.observations[i]
            np.testing.assert_allclose(found, expected, rtol=1.2e-7, atol=1e-9)
            assert (step.rewards[i], step.terminated[i]) == (reward, terminated)
            assert step.truncated[i] == (over and not terminated)
            if over:
                assert np.abs(step.observations[i]).max() <= 0.05
                ends[int(terminated)] += 1
                times[i] = 0
        observations = step.observations.copy()
    assert ends[limit is None] >= 20


@pytest.mark.parametrize("mode", MODES)
def test_whatever_the_way_of_resetting(mode: str) -> None:
    """The time shown grows by one in each step, and begins with zero in the step that ends an
    episode, whose last observation is kept."""
    sim, ended = made(DRIFT, 4, mode=mode), 0
    before = sim.reset(seed=range(4)).copy()
    for actions in random_actions(sim, 60):
        step = sim.step(actions)
        seen = step.observations.copy()
        seen[step.ended] = step.final_observations
        np.testing.assert_array_equal(seen[:, 1], before[:, 1] + 1)
        np.testing.assert_allclose(step.rewards, seen[:, 0], rtol=1e-6)
        moved = seen[:, 0] - before[:, 0] - (actions + 1)  # the environment's own count from 1
        assert np.abs(moved).max() < 0.6  # six deviations of the noise
        np.testing.assert_array_equal(step.terminated, seen[:, 0] > 9)
        np.testing.assert_array_equal(step.truncated, (seen[:, 1] == LIMIT) & ~step.terminated)
        assert step.ended.tolist() == np.flatnonzero(step.terminated | step.truncated).tolist()
        assert (step.observations[step.ended, 1] == 0).all()
        before, ended = step.observations.copy(), ended + step.ended.size
    assert ended >= 40


def test_starts_are_all_different() -> None:
    """More episodes than a vector environment has first moments, none of them twice."""
    sim = made(limit=5)
    starts = [*sim.reset(seed=[1, 2, 3]).copy()]
    for actions in random_actions(sim, 40):
        step = sim.step(actions)
        starts += [*step.observations[step.ended].copy()]
    assert len(starts) == 27 and len(np.unique(starts, axis=0)) == 27


@pytest.mark.parametrize("env_id", ["CartPole-v1", DRIFT])
def test_seeds(env_id: str) -> None:
    """All of them decide, and nothing else does."""

    def found(seeds: list[int]) -> list[Any]:
        sim = made(env_id)
        sim.step(random_actions(sim, 1)[0])
        first = sim.reset(seed=seeds).tobytes()
        return [first, *future(sim, random_actions(sim, 60), [0, 1, 2])]

    assert found([1, 2, 3]) == found([1, 2, 3])
    other = found([1, 2, 4])
    assert other[0] != found([1, 2, 3])[0] and other[1:] != found([1, 2, 3])[1:]


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [("CartPole-v1", {}), *((DRIFT, {"mode": mode}) for mode in MODES)]
)
def test_same_future_after_a_snapshot(env_id: str, kwargs: Any, tmp_path: Path) -> None:
    """Of files, in another simulator, and from there once more; at any moment."""
    sim = made(env_id, **kwargs)
    assert sim.why_not_restorable == ""
    sim.reset(seed=[4, 5, 6])
    actions = random_actions(sim, 130)
    for past, (begin, end) in enumerate([(0, 7), (7, 50)]):
        future(sim, actions[begin:end], [0, 1, 2])
        snapshot = stored(sim.snapshot(), tmp_path)
        expected = future(sim, actions[end : end + 60], [0, 1, 2])
        other = made(env_id, **kwargs)
        other.restore(snapshot)
        again = stored(other.snapshot(), tmp_path)
        assert future(other, actions[end : end + 60], [0, 1, 2]) == expected, past
        sim.restore(again)
        assert future(sim, actions[end : end + 60], [0, 1, 2]) == expected
        sim.restore(snapshot)
    assert same_future(made(env_id, **kwargs), made(env_id, **kwargs), portable=True) == ""


@pytest.mark.parametrize("env_id", ["CartPole-v1", DRIFT])
def test_some_stand_still_and_some_begin_anew(env_id: str) -> None:
    sim = made(env_id)
    before = sim.reset(seed=[1, 2, 3]).copy()
    state = sim._state.rows([1])
    for actions in random_actions(sim, 30):
        step = sim.step(actions, np.array([0, 2]))
        np.testing.assert_array_equal(step.observations[1], before[1])
        assert 1 not in step.ended and not step.rewards[1]
    for name, rows in sim._state.rows([1]).items():
        np.testing.assert_array_equal(rows, state[name])
    others = step.observations[[0, 2]].copy()
    seen = sim.reset([1])
    assert not np.array_equal(seen[1], before[1])
    np.testing.assert_array_equal(seen[[0, 2]], others)
    with pytest.raises(ValueError, match="seeded, or reset by itself, as a whole"):
        sim.reset([1], seed=[5])


def test_what_needs_one_environment_alone_is_refused() -> None:
    sim = made()
    sim.reset(seed=[1, 2, 3])
    whole = sim.snapshot()
    for refused in (
        lambda: sim.snapshot([0, 1]),
        lambda: sim.snapshot(portable=False),
        lambda: sim.restore(whole.rows([1, 0, 2])),
        lambda: made(num_envs=2).restore(whole.rows([0, 1])),
        lambda: sim.reseed([0], [1]),
    ):
        with pytest.raises(UserError, match=r"share one random generator .* env\.vector=auto"):
            refused()
    assert sim.why_not_branchable


def test_ordinary_environments_where_nobody_asks_for_others() -> None:
    """As evaluations do, which need a seed for each episode."""
    env = EnvConfig("CartPole-v1", vector="native")
    ordinary, serial = (make_simulator(e, 3, 1) for e in (env, EnvConfig("CartPole-v1")))
    for sim in (ordinary, serial):
        sim.reset(seed=[1, 2, 3])
    actions = random_actions(serial, 40)
    assert future(ordinary, actions, [0, 1, 2]) == future(serial, actions, [0, 1, 2])


class TestWhatCannotBeUsed:
    @pytest.mark.parametrize(
        ("env_id", "kwargs", "told"),
        [
            ("Pendulum-v1", {}, r"registers no vector environment\. .*CartPole-v0, CartPole-v1"),
            ("Hopper-v4", {}, "has a backend of its own"),
            (
                DRIFT,
                {"hidden": True},
                "resets what ended a step late, and where it keeps its state",
            ),
            (DRIFT, {"size": 4}, r"other observations than the environment itself.*\(4,\)"),
            (DRIFT, {"fails": 2}, "could not be used: .*out of batteries"),
            (DRIFT, {"mood": 1}, "could not be used: .*mood"),
        ],
    )
    def test_is_said(self, env_id: str, kwargs: Any, told: str) -> None:
        with pytest.raises(UserError, match=told) as caught:
            made(env_id, **kwargs)
        assert "env.vector" in str(caught.value) and "\n" not in str(caught.value)

    def test_hidden_state_does_where_the_environment_resets_itself_at_once(self) -> None:
        sim = made(DRIFT, mode="SAME_STEP", hidden=True)
        assert "gave another future" in sim.why_not_restorable
        with pytest.raises(UserError, match="cannot be restored"):
            sim.snapshot()
        sim.reset(seed=[1, 2, 3])
        ends = [len(copied(sim.step(actions))[4]) for actions in random_actions(sim, 30)]
        assert sum(ends) >= 9

    def test_one_that_raises_ends_the_run_with_a_message(self) -> None:
        sim = made(DRIFT, fails=1000)
        with pytest.raises(RunFailed) as caught:
            for actions in random_actions(sim, 1000):
                sim.step(actions)
        assert str(caught.value) == (
            f"env={DRIFT}: the vector environment raised in step() at step 1000 of this simulator: "
            "RuntimeError: out of batteries."
        )
