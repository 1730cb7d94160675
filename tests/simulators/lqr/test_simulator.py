"""`trpo_cli/LQR-v0`: batched or through Gymnasium the same to the bit, and restored exactly."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.support.gym_reference import (
    assert_equal_resets,
    assert_equal_steps,
    reference,
    simulator,
)
from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.lqr.environment import ID
from trpo_cli.simulators.make import make_simulator

SYSTEM: dict[str, Any] = {"states": 6, "system_seed": 3}


def actions_of(sim: Any, steps: int) -> np.ndarray:
    shape = (steps, sim.num_envs, *sim.action_space.shape)
    return np.random.default_rng(1).standard_normal(shape)


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_bit_identical_to_gymnasium(num_envs: int, noise: float) -> None:
    sim = simulator(ID, num_envs, limit=7, noise=noise, **SYSTEM)
    assert sim.backend == "linear" and sim.max_episode_steps == 7
    envs = reference(ID, num_envs, limit=7, noise=noise, **SYSTEM)
    assert_equal_resets(sim, envs)
    terminated, truncated = assert_equal_steps(sim, envs, actions_of(sim, 20))
    assert (terminated, truncated) == (0, 2 * num_envs)


def test_dynamics_reward_and_start() -> None:
    """The moments of x_0 and of w, the mean of x' and the reward, from the definition."""
    system: dict[str, Any] = {
        "A": [[0.9, 0.2], [0.0, 0.7]],
        "B": [[0.0], [1.5]],
        "Q": [1.0, 2.0],
        "R": 0.5,
    }
    sim = simulator(ID, 20_000, noise=[[0.04, 0.01], [0.01, 0.09]], start=[1.0, 0.5], **system)
    before = sim.reset(seed=list(range(sim.num_envs))).copy()
    u = np.full((sim.num_envs, 1), -0.3)
    step = sim.step(u)
    # A second moment of 20,000 normals of variance v has a standard deviation of 0.01 v: five.
    np.testing.assert_allclose(np.cov(before.T), np.diag([1.0, 0.25]), atol=0.05)
    drawn = step.observations - before @ np.transpose(system["A"]) - [0.0, -0.45]
    np.testing.assert_allclose(np.cov(drawn.T), [[0.04, 0.01], [0.01, 0.09]], atol=0.0045)
    paid = before[:, 0] ** 2 + 2.0 * before[:, 1] ** 2 + 0.5 * 0.3**2
    np.testing.assert_allclose(step.rewards, -paid, rtol=1e-12)


def test_snapshot_gives_the_same_future_in_other_environments_too() -> None:
    sim, other = (simulator(ID, n, limit=9, noise=0.2, **SYSTEM) for n in (3, 2))
    sim.reset(seed=[4, 5, 6])
    other.reset(seed=[1, 2])
    actions = actions_of(sim, 25)
    for action in actions[:5]:
        sim.step(action)
    snapshot = sim.snapshot([2, 0])
    futures = [(s.observations[[2, 0]], s.rewards[[2, 0]]) for s in map(sim.step, actions[5:])]
    assert sim.why_not_restorable == sim.why_not_branchable == ""
    np.testing.assert_array_equal(other.restore(snapshot), snapshot.arrays["states"])
    for action, (observations, rewards) in zip(actions[5:, [2, 0]], futures, strict=True):
        step = other.step(action)
        np.testing.assert_array_equal(step.observations, observations)
        np.testing.assert_array_equal(step.rewards, rewards)
    with pytest.raises(ValueError, match="2 environments cannot be restored into 3"):
        sim.restore(snapshot)


def test_some_environments_alone() -> None:
    together, apart = (simulator(ID, 3, limit=4, noise=0.1, **SYSTEM) for _ in range(2))
    for sim in (together, apart):
        sim.reset(seed=[0, 1, 2])
    ids = np.array([0, 2])
    for action in actions_of(together, 6):
        still = apart.step(np.zeros_like(action), ids=np.array([], dtype=np.int64))
        assert len(still.ended) == 0
        one, two = together.step(action), apart.step(action, ids=ids)
        np.testing.assert_array_equal(one.observations[ids], two.observations[ids])
        np.testing.assert_array_equal(one.rewards[ids], two.rewards[ids])


def test_is_found_by_the_id_of_the_module_too() -> None:
    env = gymnasium.make("trpo_cli.simulators.lqr.environment:trpo_cli/LQR-v0", states=4)
    assert env.action_space.shape == (2,)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"states": 0}, "states=0 must be a whole number from 1 to 200"),
        ({"A": [[1.0]]}, "A is given without B"),
        ({"A": [[1.0, 2.0]], "B": [[1.0]]}, "A must be square"),
        ({"A": [[1.0]], "B": [["x"]]}, "not made of numbers"),
        ({"A": [[1.0]], "B": [[1.0]], "states": 2}, "states and actions are sizes of a random"),
        ({"Q": [[1.0, 2.0], [0.0, 1.0]]}, "must be symmetric"),
        ({"R": 0.0}, "R=0.0 must be positive"),
        ({"noise": -1.0}, "noise=-1.0: a standard deviation"),
        ({"start": [1.0, 1.0, 1.0]}, "a list of 2"),
        ({"system_seed": -1}, "system_seed=-1 must be a whole number"),
        ({"radius": 0}, "radius=0 must be above 0"),
        ({"gravity": 9.8}, "gravity"),
    ],
)
def test_bad_systems(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        make_simulator(EnvConfig(id=ID, kwargs=kwargs), 1, 1)
    assert f"env={ID} could not be constructed" in str(error.value)


def test_a_typo_is_told() -> None:
    with pytest.raises(UserError, match=r"Did you mean trpo_cli/LQR-v0\?"):
        make_simulator(EnvConfig(id="trpo_cli/LQR-v1"), 1, 1)
