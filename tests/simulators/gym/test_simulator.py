"""The Gymnasium backend: any other environment, without filler rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.support import odd_envs
from tests.support.gym_reference import (
    assert_equal_resets,
    assert_equal_steps,
    random_actions,
    reference,
    simulator,
)
from trpo_cli.errors import RunFailed


@pytest.mark.parametrize(
    ("env_id", "limit"),
    [
        ("CartPole-v1", None),
        ("CartPole-v1", 12),
        ("Pendulum-v1", 20),
        ("MountainCar-v0", None),
        ("MountainCarContinuous-v0", 50),
        ("Acrobot-v1", 60),
    ],
)
def test_equals_gymnasium(env_id: str, limit: int | None) -> None:
    sim, envs = simulator(env_id, limit=limit), reference(env_id, limit=limit)
    assert sim.backend == "gymnasium"
    assert sim.max_episode_steps == (limit or envs[0].spec.max_episode_steps)
    assert_equal_resets(sim, envs)
    terminated, truncated = assert_equal_steps(sim, envs, random_actions(sim, 220))
    assert terminated + truncated >= 3
    assert sim.observation_space.dtype == sim.reset().dtype
    sim.close()


@pytest.mark.parametrize(
    "actions",
    [
        spaces.Discrete(3, start=1),
        spaces.Discrete(2, start=-1),
        spaces.MultiDiscrete([3, 2, 4]),
        spaces.MultiDiscrete([3, 2], start=[1, 5]),
        spaces.MultiBinary(3),
        spaces.Box(-2.0, 2.0, (2,), np.float64),
    ],
)
def test_actions_reach_the_environment_as_its_own(actions: Any) -> None:
    kwargs = {"actions": actions}
    sim, envs = simulator("Odd/Odd-v0", **kwargs), reference("Odd/Odd-v0", **kwargs)
    assert_equal_resets(sim, envs)
    chosen, floats = random_actions(sim, 10, dtype=np.float64), isinstance(actions, spaces.Box)
    assert not np.any(getattr(sim.action_space, "start", 0))
    terminated, _ = assert_equal_steps(sim, envs, 0.5 * chosen if floats else chosen)
    assert terminated == 6


def test_one_reward_per_environment_step() -> None:
    """Episodes of 4 steps: the step after an end is a real one, whose clock reads 1."""
    sim = simulator("Odd/Odd-v0", num_envs=2)
    sim.reset(seed=[1, 2])
    clocks, finals = [], []
    for _ in range(9):
        step = sim.step(np.array([1, 2]))
        assert step.rewards.tolist() == [1.0, 2.0]
        clocks.append(step.observations[0, 0])
        finals += step.final_observations[:, 0].tolist()
    assert clocks == [1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert finals == [4, 4, 4, 4]


@pytest.mark.parametrize("kwargs", [{"truncates": 4}, {"ends": 50}])
def test_terminated_wins_over_truncated(kwargs: dict[str, int]) -> None:
    """Both from the environment itself; and its termination at the registered limit."""
    sim = simulator("Odd/Odd-v0", num_envs=1, **kwargs)
    sim.reset(seed=[0])
    step = sim.step(np.zeros(1, int))
    while not step.ended.size:
        step = sim.step(np.zeros(1, int))
    assert step.terminated.tolist() == [True] and step.truncated.tolist() == [False]


def test_pixels_stay_bytes_and_actions_stay_ours() -> None:
    sim = simulator("Odd/Pixels-v0", num_envs=2)
    assert sim.max_episode_steps is None
    assert sim.reset(seed=[1, 2]).dtype == np.uint8
    actions = np.ones((2, 1), np.float32)
    assert (sim.step(actions).observations == 200).all()
    assert (actions == 1).all()


def test_environment_that_raises() -> None:
    sim = simulator("Odd/Odd-v0", num_envs=2, fails=3)
    sim.reset(seed=[1, 2])
    for _ in range(2):
        sim.step(np.zeros(2, int))
    with pytest.raises(RunFailed) as error:
        sim.step(np.zeros(2, int))
    assert str(error.value) == (
        "env=Odd/Odd-v0: environment 0 raised in step() at step 3 of this simulator: "
        "RuntimeError: out of batteries."
    )


def test_observation_of_a_wrong_shape() -> None:
    sim = simulator("Odd/Pixels-v0", num_envs=1, size=1)
    sim.reset(seed=[1])
    with pytest.raises(RunFailed, match=r"has shape \(1, 3\), its space says \(3, 3\)"):
        sim.step(np.zeros((1, 1), np.float32))


def test_registrations_of_somebody_else_over_gymnasiums_classes() -> None:
    """The same class under another id is the same task, with that id's arguments and limit."""
    assert odd_envs.BOX
    sim, envs = simulator("Odd/Hopper-v0"), reference("Odd/Hopper-v0")
    assert sim.backend == "mujoco" and sim.max_episode_steps == 20
    assert_equal_resets(sim, envs)
    assert_equal_steps(sim, envs, random_actions(sim, 60))
