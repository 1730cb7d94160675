from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.small import BOX, make_policy
from trpo_cli.config import AdvantageConfig
from trpo_cli.estimates import estimate
from trpo_cli.frames import FrameStacks
from trpo_cli.models.normalizer import Pictures
from trpo_cli.records import Trajectories

DISCOUNT, LAMBDA = 0.9, 0.5
PLAIN = AdvantageConfig(gae_lambda=LAMBDA, standardize=False)


class FirstFeature:
    """V(s) is the first feature."""

    def array(self, inputs):
        return inputs

    def predict(self, inputs):
        return inputs[:, 0]


FIRST_FEATURE: Any = FirstFeature()


def states(values):
    values = np.asarray(values, dtype=np.float32)
    return np.stack([values, 0 * values, 0 * values], axis=-1)


@pytest.fixture
def trajectories():
    """Environment 0 terminates after its first step, 1 is truncated after its second one."""
    return Trajectories(
        observations=states([[10.0, 2.0], [4.0, 1.0], [3.0, 2.0]]),
        actions=np.arange(12, dtype=np.float32).reshape(3, 2, 2),
        rewards=np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 1.0]], dtype=np.float32),
        terminated=np.array([[True, False], [False, False], [False, False]]),
        truncated=np.array([[False, False], [False, True], [False, False]]),
        ends=np.array([[0, 0], [1, 1]]),
        final_observations=states([100.0, 6.0]),
        last_observations=states([5.0, -1.0]),
        episode_returns=[1.0, 3.0],
        episode_lengths=[1, 2],
    )


# Each row by hand; the last row bootstraps from what the environments see after it.
LAST_0 = 2.0 + 0.9 * 5.0 - 3.0
LAST_1 = 1.0 + 0.9 * -1.0 - 2.0
CUT = 3.0 + 0.9 * 6.0 - 1.0  # from the final observation, and nothing follows
ADVANTAGES = np.array(
    [
        [1.0 - 10.0, (0.0 + 0.9 * 1.0 - 2.0) + 0.45 * CUT],
        [(0.0 + 0.9 * 3.0 - 4.0) + 0.45 * LAST_0, CUT],
        [LAST_0, LAST_1],
    ]
)
VALUES = np.array([[10.0, 2.0], [4.0, 1.0], [3.0, 2.0]])


@pytest.fixture
def policy():
    return make_policy(BOX, dtype=np.float32)


class TestEstimate:
    def test_by_hand(self, trajectories, policy):
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        np.testing.assert_allclose(batch.advantages, ADVANTAGES.ravel(), rtol=1e-5)
        np.testing.assert_allclose(batch.returns, (ADVANTAGES + VALUES).ravel(), rtol=1e-5)

    def test_rows_are_step_major(self, trajectories, policy):
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        np.testing.assert_array_equal(batch.actions, np.arange(12.0).reshape(6, 2))
        np.testing.assert_array_equal(batch.observations, trajectories.observations.reshape(6, 3))
        np.testing.assert_array_equal(batch.features, batch.observations)

    def test_standardizes_advantages_and_not_returns(self, trajectories, policy):
        config = AdvantageConfig(gae_lambda=LAMBDA, standardize=True)
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, config)
        expected = (ADVANTAGES - ADVANTAGES.mean()) / ADVANTAGES.std()
        np.testing.assert_allclose(batch.advantages, expected.ravel(), rtol=1e-5)
        np.testing.assert_allclose(batch.returns, (ADVANTAGES + VALUES).ravel(), rtol=1e-5)

    def test_uses_the_policys_normaliser_and_leaves_it_alone(self, trajectories, policy):
        data = np.random.default_rng(0).normal(2.0, 3.0, (50, 3))
        policy.normalizer.update(data)
        before = {k: np.copy(v) for k, v in policy.normalizer.state().items()}
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        flat = trajectories.observations.reshape(6, 3)
        expected = (flat - data.mean(0)) / data.std(0)
        np.testing.assert_allclose(batch.observations, expected, rtol=1e-5, atol=1e-6)
        # Every value, bootstrapped ones included, is of normalised observations.
        final = (6.0 - data.mean(0)[0]) / data.std(0)[0]
        own = expected[3, 0]
        assert batch.advantages[3] == pytest.approx(3.0 + 0.9 * final - own, rel=1e-5)
        for key, value in policy.normalizer.state().items():
            np.testing.assert_array_equal(value, before[key])

    def test_without_ends(self, trajectories, policy):
        nothing = np.zeros((3, 2), dtype=bool)
        ongoing = replace(
            trajectories,
            terminated=nothing,
            truncated=nothing,
            ends=np.zeros((0, 2), dtype=np.int64),
            final_observations=np.zeros((0, 3), dtype=np.float32),
        )
        batch = estimate(ongoing, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        expected = (0.0 + 0.9 * 3.0 - 4.0) + 0.45 * LAST_0
        assert batch.advantages[2] == pytest.approx(expected, rel=1e-5)
        assert batch.advantages[0] == pytest.approx(
            1.0 + 0.9 * 4.0 - 10.0 + 0.45 * expected, rel=1e-5
        )

    def test_a_lost_life_ends_the_future_and_not_the_episode(self, trajectories, policy):
        """Environment 0 loses one at its second step: nothing of the third comes through."""
        lost = np.array([[False, False], [True, False], [False, False]])
        batch = estimate(
            replace(trajectories, lives_lost=lost), policy, FIRST_FEATURE, DISCOUNT, PLAIN
        )
        expected = ADVANTAGES.copy()
        expected[1, 0] = 0.0 - 4.0  # its reward, minus V
        np.testing.assert_allclose(batch.advantages, expected.ravel(), rtol=1e-5)
        np.testing.assert_allclose(batch.returns, (expected + VALUES).ravel(), rtol=1e-5)

    def test_a_life_lost_as_time_runs_out(self, trajectories, policy):
        """The value of what comes after is not counted, although the episode is cut there."""
        lost = np.zeros((3, 2), dtype=bool)
        lost[1, 1] = True  # where environment 1 is truncated
        batch = estimate(
            replace(trajectories, lives_lost=lost), policy, FIRST_FEATURE, DISCOUNT, PLAIN
        )
        assert batch.advantages[3] == pytest.approx(3.0 - 1.0, rel=1e-5)
        assert batch.advantages[1] == pytest.approx(-1.1 + 0.45 * 2.0, rel=1e-5)

    def test_clipped_rewards_are_signs(self, trajectories, policy):
        rewards = np.array([[7.0, 0.0], [-300.0, 0.5], [1e-3, -1.0]], dtype=np.float32)
        raw = replace(trajectories, rewards=rewards)
        clipped = estimate(raw, policy, FIRST_FEATURE, DISCOUNT, PLAIN, clip_rewards=True)
        signs = replace(trajectories, rewards=np.array([[1, 0], [-1, 1], [1, -1]], np.float32))
        expected = estimate(signs, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        np.testing.assert_array_equal(clipped.advantages, expected.advantages)
        np.testing.assert_array_equal(clipped.returns, expected.returns)
        plain = estimate(raw, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        assert abs(plain.advantages - clipped.advantages).max() > 100.0
        assert raw.rewards.tolist() == rewards.tolist()

    def test_gives_the_arrays_of_the_policys_network(self, trajectories):
        torch_policy = make_policy(BOX, dtype=np.float32, torch_network=True)
        batch = estimate(trajectories, torch_policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        np.testing.assert_allclose(batch.advantages.numpy(), ADVANTAGES.ravel(), rtol=1e-5)
        assert isinstance(batch.features, np.ndarray)


class Brightness:
    """V(s) is the newest frame's first pixel."""

    def array(self, inputs):
        return inputs

    def predict(self, inputs):
        assert isinstance(inputs, FrameStacks)
        return inputs.stack()[:, -1, 0, 0].astype(np.float32)


class Viewer:
    """As much of a policy for pictures as estimates ask for."""

    def normalize(self, observations):
        return Pictures()(observations)

    def array(self, x):
        return x


class TestPictures:
    def test_by_hand(self, trajectories):
        """The same values as above, shown as frames in any order."""
        shown = [10, 2, 4, 1, 3, 2], [5, 6], [100, 6]  # last ones: 5 and, not to be negative, 6
        planes = np.arange(128, dtype=np.uint8)[::-1].reshape(-1, 1, 1)
        stacks = [
            FrameStacks(planes, np.array([[0, 127 - value] for value in values]))
            for values in shown
        ]
        pictures = replace(
            trajectories,
            observations=stacks[0],
            last_observations=stacks[1],
            final_observations=stacks[2],
        )
        policy, value = Viewer(), Brightness()
        batch = estimate(pictures, policy, value, DISCOUNT, PLAIN)  # type: ignore[arg-type]
        expected = ADVANTAGES.copy()
        expected[2, 1] = 1.0 + 0.9 * 6.0 - 2.0
        np.testing.assert_allclose(batch.advantages, expected.ravel(), rtol=1e-5)
        assert isinstance(batch.observations, FrameStacks)
        np.testing.assert_array_equal(batch.observations.index, stacks[0].index)
        np.testing.assert_array_equal(batch.features.index, stacks[0].index)
