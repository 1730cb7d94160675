"""The Atari backend next to Gymnasium's wrappers: every number is equal."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from tests.support.atari_reference import atari, can_wait, sticky_random, wrapped
from tests.support.gym_reference import assert_equal_resets, assert_equal_steps
from trpo_cli.simulators.base import Simulator


@pytest.mark.parametrize(
    ("env_id", "steps", "least"),
    [
        pytest.param("ALE/Breakout-v5", 500, 2, marks=pytest.mark.slow),
        ("ALE/Pong-v5", 60, 0),
        pytest.param("ALE/Freeway-v5", 60, 0, marks=pytest.mark.slow),
        ("SpaceInvadersNoFrameskip-v4", 60, 0),
        pytest.param("ALE/Seaquest-v5", 400, 1, marks=pytest.mark.slow),
        pytest.param("BreakoutNoFrameskip-v4", 500, 2, marks=pytest.mark.slow),
        pytest.param("SpaceInvadersNoFrameskip-v4", 500, 1, marks=pytest.mark.slow),
        ("ALE/Skiing-v5", 60, 0),
    ],
)
def test_same_as_gymnasium(env_id: str, steps: int, least: int) -> None:
    sim = atari(env_id, fire_reset=False)
    envs = wrapped(env_id)
    assert sim.observation_space == envs[0].observation_space
    assert sim.action_space == envs[0].action_space
    assert_equal_resets(sim, envs)
    actions = sticky_random(sim, steps)
    assert assert_equal_steps(sim, envs, actions)[0] >= least
    assert_equal_resets(sim, envs, seed=2**31 + 5)
    assert_equal_steps(sim, envs, actions[:30])
    sim.close()


@pytest.mark.slow
@pytest.mark.parametrize("env_id", [k for k in gymnasium.registry if k.startswith("ALE/")])
def test_every_game(env_id: str) -> None:
    noop_max = 30 if can_wait(env_id) else 0
    same(atari(env_id, fire_reset=False, noop_max=noop_max), wrapped(env_id, noop_max=noop_max))


@pytest.mark.parametrize(
    ("env_id", "mode"),
    [
        pytest.param("ALE/Berzerk-v5", None, marks=pytest.mark.slow),
        ("ALE/Adventure-v5", 2),
        pytest.param("ALE/DoubleDunk-v5", 0, marks=pytest.mark.slow),
        pytest.param("ALE/VideoCube-v5", 102, marks=pytest.mark.slow),
    ],
)
def test_games_that_draw_when_they_are_reset(env_id: str, mode: int | None) -> None:
    sim = atari(env_id, fire_reset=False, kwargs={"mode": mode})
    same(sim, wrapped(env_id, mode=mode), steps=60)


def same(sim: Simulator, envs: list[Any], steps: int = 250) -> None:
    assert sim.action_space == envs[0].action_space
    for seed in (5, 9):
        assert_equal_resets(sim, envs, seed)
        assert_equal_steps(sim, envs, sticky_random(sim, steps))
        steps = 20
        assert_equal_unseeded_resets(sim, envs)
    sim.close()


def assert_equal_unseeded_resets(sim: Simulator, envs: list[Any]) -> None:
    for observation, env in zip(sim.reset(), envs, strict=True):
        np.testing.assert_array_equal(observation, env.reset()[0])


def test_settings_are_those_of_the_wrappers() -> None:
    sim = atari(
        "ALE/Breakout-v5",
        fire_reset=False,
        frame_skip=3,
        frame_height=50,
        frame_width=60,
        frame_stack=2,
        noop_max=0,
        sticky_actions=0.1,
        full_action_space=True,
        kwargs={"mode": 4, "difficulty": 1, "max_num_frames_per_episode": 200},
    )
    envs = wrapped(
        "ALE/Breakout-v5",
        frame_skip=3,
        size=(60, 50),
        stack=2,
        noop_max=0,
        repeat_action_probability=0.1,
        full_action_space=True,
        mode=4,
        difficulty=1,
        max_num_frames_per_episode=200,
    )
    assert sim.observation_space.shape == (2, 50, 60)
    assert sim.max_episode_steps == 67
    assert_equal_resets(sim, envs)
    _, truncations = assert_equal_steps(sim, envs, sticky_random(sim, 140))
    assert truncations >= 2
    sim.close()


@pytest.mark.parametrize("limit", [200, 203])
def test_limit_in_frames_within_a_skip_and_on_its_edge(limit: int) -> None:
    kwargs: dict[str, Any] = {"max_num_frames_per_episode": limit}
    sim = atari("ALE/Freeway-v5", fire_reset=False, kwargs=kwargs)
    envs = wrapped("ALE/Freeway-v5", **kwargs)
    assert_equal_resets(sim, envs)
    assert assert_equal_steps(sim, envs, sticky_random(sim, 120))[1] >= 4
    sim.close()


@pytest.mark.parametrize(
    "env_id", [pytest.param("Breakout-v4", marks=pytest.mark.slow), "Breakout-v0"]
)
def test_random_frame_skip_is_drawn_from_the_environments_generator(env_id: str) -> None:
    sim = atari(env_id, fire_reset=False, noop_max=0, max_pool=False)
    assert sim.max_episode_steps == 54_000

    def build() -> Any:
        env = AtariPreprocessing(gymnasium.make(env_id), noop_max=0, frame_skip=1)
        return FrameStackObservation(env, 4, padding_type="reset")

    envs = [build() for _ in range(2)]
    assert_equal_resets(sim, envs)
    assert assert_equal_steps(sim, envs, sticky_random(sim, 600))[0] >= 2
    sim.close()


@pytest.mark.parametrize(
    ("steps", "least"), [(200, 0), pytest.param(900, 1, marks=pytest.mark.slow)]
)
def test_one_frame_per_step(steps: int, least: int) -> None:
    sim = atari("ALE/Breakout-v5", fire_reset=False, frame_skip=1)
    envs = wrapped("ALE/Breakout-v5", frame_skip=1)
    assert_equal_resets(sim, envs)
    assert assert_equal_steps(sim, envs, sticky_random(sim, steps))[0] >= least
    sim.close()


def test_reset_of_some_without_seeds_goes_on_with_their_generators() -> None:
    sim, envs = atari("ALE/Pong-v5", num_envs=3, fire_reset=False), wrapped("ALE/Pong-v5", 3)
    assert_equal_resets(sim, envs)
    assert_equal_steps(sim, envs, sticky_random(sim, 5))
    before = sim.step(np.zeros(3, int)).observations.copy()
    for env in envs:
        env.step(0)
    observations = sim.reset([2, 0])
    np.testing.assert_array_equal(observations[0], envs[0].reset()[0])
    np.testing.assert_array_equal(observations[2], envs[2].reset()[0])
    np.testing.assert_array_equal(observations[1], before[1])
    observations = sim.reset([1], seed=[77])
    np.testing.assert_array_equal(observations[1], envs[1].reset(seed=77)[0])
    assert_equal_steps(sim, envs, sticky_random(sim, 20))
    sim.close()


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    one, three = (atari("ALE/Breakout-v5", 5, threads, limit=25) for threads in (1, 3))
    seeds = [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(one.reset(seed=seeds), three.reset(seed=seeds))
    for action in sticky_random(one, 60):
        a, b = one.step(action), three.step(action)
        for name, ours in vars(a).items():
            np.testing.assert_array_equal(ours, vars(b)[name])
    one.close()
    three.close()


def test_time_limit_in_steps() -> None:
    sim = atari("ALE/Pong-v5", limit=7)
    assert sim.max_episode_steps == 7
    first = sim.reset(seed=[1, 2]).copy()
    for t in range(1, 22):
        step = sim.step(np.zeros(2, int))
        assert step.truncated.all() == (t % 7 == 0)
        assert not step.terminated.any()
    assert step.final_observations.shape == first.shape
    # A new episode shows its first frame four times.
    for frames in step.observations:
        assert (frames == frames[0]).all()
    sim.close()


def test_frame_skip_without_pooling_shows_the_last_frame() -> None:
    sim = atari("ALE/Pong-v5", fire_reset=False, max_pool=False, frame_stack=1, noop_max=0)
    every = atari("ALE/Pong-v5", fire_reset=False, frame_skip=1, frame_stack=1, noop_max=0)
    np.testing.assert_array_equal(sim.reset(seed=[3, 4]), every.reset(seed=[3, 4]))
    for action in sticky_random(sim, 40):
        reward = np.zeros(2)
        for _ in range(4):
            last = every.step(action)
            reward += last.rewards
        step = sim.step(action)
        np.testing.assert_array_equal(step.observations, last.observations)
        np.testing.assert_array_equal(step.rewards, reward)
    sim.close()
    every.close()


def test_step_of_some_environments() -> None:
    sim, envs = (
        atari("ALE/Breakout-v5", 3, threads=2, fire_reset=False),
        wrapped("ALE/Breakout-v5", 3),
    )
    assert_equal_resets(sim, envs)
    assert_equal_steps(sim, envs, sticky_random(sim, 20))
    ids = np.array([0, 2])
    for action in sticky_random(sim, 250):
        still = sim.step(action, ids)
        assert not (still.terminated[1] or still.truncated[1] or still.rewards[1])
        observations = still.observations.copy()
        for i in ids:
            observation, reward, terminated, _, _ = envs[i].step(action[i])
            assert (reward, terminated) == (still.rewards[i], still.terminated[i])
            if terminated:
                observation = envs[i].reset()[0]
            np.testing.assert_array_equal(observations[i], observation)
    assert_equal_steps(sim, envs, sticky_random(sim, 20))
    sim.close()
