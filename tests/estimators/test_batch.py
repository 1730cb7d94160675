from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.small import BOX, estimate, make_policy
from trpo_cli.config.schema import all_options
from trpo_cli.data.frames import FrameStacks
from trpo_cli.data.records import Branches, Trajectories
from trpo_cli.estimators.average_baseline import AverageBaseline, AverageBaselineConfig
from trpo_cli.estimators.base import Steps
from trpo_cli.estimators.batch import Estimation
from trpo_cli.estimators.gae import GAEConfig
from trpo_cli.estimators.q_value import QValueConfig
from trpo_cli.estimators.reward_to_go import RewardToGoConfig
from trpo_cli.estimators.td_residual import TDResidualConfig
from trpo_cli.estimators.total_return import TotalReturnConfig
from trpo_cli.estimators.value_baseline import ValueBaselineConfig
from trpo_cli.models.normalizer import IdentityNormalizer
from trpo_cli.models.values.none import NoValue

DISCOUNT, LAMBDA = 0.9, 0.5
PLAIN = GAEConfig(gae_lambda=LAMBDA, standardize=False)


class FirstFeature:
    """V(s) is the first feature, times a factor."""

    factor = 1.0

    def to_device(self, inputs):
        return inputs

    def predict(self, inputs):
        return self.factor * inputs[:, 0]


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

    def test_rewards_to_go_hold_v_only_behind_cuts(self, trajectories, policy):
        """Whatever lambda is: environment 0 ends, and is cut by the batch; 1 is cut twice."""
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        last, cut = 2.0 + 0.9 * 5.0, 3.0 + 0.9 * 6.0
        expected = [[1.0, 0.0 + 0.9 * cut], [0.0 + 0.9 * last, cut], [last, 1.0 + 0.9 * -1.0]]
        np.testing.assert_allclose(batch.rewards_to_go, np.ravel(expected), rtol=1e-6)

    def test_rows_are_step_major(self, trajectories, policy):
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, PLAIN)
        np.testing.assert_array_equal(batch.actions, np.arange(12.0).reshape(6, 2))
        np.testing.assert_array_equal(batch.observations, trajectories.observations.reshape(6, 3))
        np.testing.assert_array_equal(batch.features, batch.observations)

    def test_standardizes_advantages_and_not_returns(self, trajectories, policy):
        config = GAEConfig(gae_lambda=LAMBDA, standardize=True)
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


# Rewards to go by hand: environment 0 terminates after its first step, and its second part goes on
# with V = 5 behind its last one; 1 is cut with V = 6 behind it, and goes on with V = -1.
CUT_TO_GO, LAST_TO_GO = 3.0 + 0.9 * 6.0, 2.0 + 0.9 * 5.0
TO_GO = np.array(
    [[1.0, 0.9 * CUT_TO_GO], [0.9 * LAST_TO_GO, CUT_TO_GO], [LAST_TO_GO, 1.0 + 0.9 * -1.0]]
)
TOTAL = np.array([[1.0, TO_GO[0, 1]], [TO_GO[1, 0], TO_GO[0, 1]], [TO_GO[1, 0], TO_GO[2, 1]]])
RESIDUALS = np.array(
    [[1.0 - 10.0, 0.9 * 1.0 - 2.0], [0.9 * 3.0 - 4.0, CUT_TO_GO - 1.0], [LAST_0, LAST_1]]
)
RAW: dict[str, Any] = {"standardize": False}


class TestEstimators:
    @pytest.mark.parametrize(
        ("config", "expected", "targets"),
        [
            (TotalReturnConfig(**RAW), TOTAL, TO_GO),
            (RewardToGoConfig(**RAW), TO_GO, TO_GO),
            (AverageBaselineConfig(**RAW), TO_GO, TO_GO),  # nothing to take away before the first
            (ValueBaselineConfig(**RAW), TO_GO - VALUES, TO_GO),
            (QValueConfig(**RAW, return_lambda=LAMBDA), ADVANTAGES + VALUES, TO_GO),
            (TDResidualConfig(**RAW, value_lambda=LAMBDA), RESIDUALS, ADVANTAGES + VALUES),
            (GAEConfig(gae_lambda=LAMBDA, **RAW, value_lambda=1.0), ADVANTAGES, TO_GO),
        ],
        ids=lambda x: getattr(x, "name", ""),
    )
    def test_by_hand(self, trajectories, policy, config, expected, targets):
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, config)
        np.testing.assert_allclose(batch.advantages, expected.ravel(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(batch.returns, targets.ravel(), rtol=1e-5, atol=1e-6)

    def test_every_one_is_there(self):
        assert set(all_options()["advantage"]) == {
            *("total_return", "reward_to_go", "average_baseline", "value_baseline"),
            *("q_value", "td_residual", "gae"),
        }

    def test_standardised_if_asked_for(self, trajectories, policy):
        config = RewardToGoConfig(standardize=True)
        batch = estimate(trajectories, policy, FIRST_FEATURE, DISCOUNT, config)
        expected = (TO_GO - TO_GO.mean()) / TO_GO.std()
        np.testing.assert_allclose(batch.advantages, expected.ravel(), rtol=1e-5)

    def test_without_v_what_follows_a_cut_is_missing(self, trajectories, policy):
        value: Any = NoValue(policy)
        batch = estimate(trajectories, policy, value, DISCOUNT, RewardToGoConfig())
        expected = [[1.0, 0.9 * 3.0], [0.9 * 2.0, 3.0], [2.0, 1.0]]
        np.testing.assert_allclose(batch.advantages, np.ravel(expected), rtol=1e-6)
        assert not batch.values.any()


class TestAverageBaseline:
    def test_is_the_average_of_previous_rollouts(self, trajectories, policy):
        baseline, config = AverageBaseline(2), AverageBaselineConfig()
        averages: list[float] = []
        for scale in (1.0, 2.0, 5.0, 7.0):
            changed = replace(trajectories, rewards=np.float32(scale) * trajectories.rewards)
            to_go = RewardToGoConfig()
            plain = estimate(changed, policy, FIRST_FEATURE, DISCOUNT, to_go).advantages
            batch = estimate(changed, policy, FIRST_FEATURE, DISCOUNT, config, estimator=baseline)
            expected = np.mean(averages[-2:]) if averages else 0.0
            np.testing.assert_allclose(batch.advantages, plain - expected, rtol=1e-4, atol=1e-5)
            averages.append(float(plain.mean()))
        assert averages[0] != averages[1]

    def test_goes_on_from_its_state(self):
        first, second = AverageBaseline(2), AverageBaseline(2)
        for mean in (1.0, 2.0, 4.0):
            nothing = np.zeros((2, 2))  # no step is followed by another
            first.psi(Steps(np.full((2, 2), mean), nothing, nothing, nothing, nothing))
        second.load_state(first.state())
        assert first.value == second.value == 3.0
        assert AverageBaseline(2).value == 0.0


class TestDiscountedStates:
    @pytest.mark.parametrize("config", [GAEConfig, RewardToGoConfig, TDResidualConfig])
    def test_weights_are_powers_of_the_time_in_the_episode(self, trajectories, policy, config):
        """Environment 0 was at its fifth step and starts anew, 1 at its first."""
        begun = replace(trajectories, first_times=np.array([4, 0]))
        plain, weighted = (
            estimate(begun, policy, FIRST_FEATURE, DISCOUNT, config(discount_states=weigh))
            for weigh in (False, True)
        )
        times = np.array([4, 0, 0, 1, 1, 0])
        np.testing.assert_allclose(weighted.advantages, plain.advantages * 0.9**times, rtol=1e-5)
        np.testing.assert_array_equal(weighted.returns, plain.returns)

    def test_a_total_return_counts_from_where_its_part_begins(self, trajectories, policy):
        begun = replace(trajectories, first_times=np.array([4, 2]))
        config = TotalReturnConfig(discount_states=True)
        batch = estimate(begun, policy, FIRST_FEATURE, DISCOUNT, config)
        weights = 0.9 ** np.array([4, 2, 0, 2, 0, 0])
        np.testing.assert_allclose(batch.advantages, TOTAL.ravel() * weights, rtol=1e-5)

    def test_the_vines_states_too(self, trajectories, policy):
        branches = Branches(
            states=np.array([0, 3]),
            actions=np.zeros((2, 2, 2), dtype=np.float32),
            values=np.array([[1.0, 2.0], [3.0, 5.0]], dtype=np.float32),
            log_proposal=None,
            steps=0,
        )
        begun = replace(trajectories, first_times=np.array([4, 0]), branches=branches)
        config = GAEConfig(standardize=False, discount_states=True)
        found = estimate(begun, policy, FIRST_FEATURE, DISCOUNT, config).branches
        assert found is not None
        weights = 0.9 ** np.array([[4], [1]])
        np.testing.assert_allclose(found.values, branches.values * weights, rtol=1e-6)


class Brightness:
    """V(s) is the newest frame's first pixel."""

    def to_device(self, inputs):
        return inputs

    def predict(self, inputs):
        assert isinstance(inputs, FrameStacks)
        return inputs.stack()[:, -1, 0, 0].astype(np.float32)


class Viewer:
    """As much of a policy for images as estimates ask for."""

    def normalize(self, observations):
        return IdentityNormalizer()(observations)

    def to_device(self, x):
        return x


class TestImages:
    def test_by_hand(self, trajectories):
        """The same values as above, shown as frames in any order."""
        shown = [10, 2, 4, 1, 3, 2], [5, 6], [100, 6]  # last ones: 5 and, not to be negative, 6
        planes = np.arange(128, dtype=np.uint8)[::-1].reshape(-1, 1, 1)
        stacks = [
            FrameStacks(planes, np.array([[0, 127 - value] for value in values]))
            for values in shown
        ]
        images = replace(
            trajectories,
            observations=stacks[0],
            last_observations=stacks[1],
            final_observations=stacks[2],
        )
        policy, value = Viewer(), Brightness()
        batch = estimate(images, policy, value, DISCOUNT, PLAIN)
        expected = ADVANTAGES.copy()
        expected[2, 1] = 1.0 + 0.9 * 6.0 - 2.0
        np.testing.assert_allclose(batch.advantages, expected.ravel(), rtol=1e-5)
        assert isinstance(batch.observations, FrameStacks)
        np.testing.assert_array_equal(batch.observations.index, stacks[0].index)
        np.testing.assert_array_equal(batch.features.index, stacks[0].index)


class TestEstimation:
    def test_a_batch_is_by_v_as_it_is_then(self, trajectories):
        """And rewards are scaled once, however often it is asked for."""
        policy, value, asked = make_policy(BOX), FirstFeature(), []
        policy.normalizer = IdentityNormalizer()

        def half(rewards: Any, *_: Any) -> Any:
            asked.append(len(rewards))
            return 0.5 * rewards

        own: dict[str, Any] = {"policy": policy, "value": value, "scaler": half}
        own |= {"discount": DISCOUNT, "config": PLAIN}
        known = Estimation(trajectories, **own)
        first = known.batch()
        value.factor = 3.0
        again = known.batch()
        assert asked == [3]
        expected = estimate(trajectories, **own)
        for name in ("advantages", "returns", "values", "targets"):
            np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))
            assert abs(getattr(again, name) - getattr(first, name)).max() > 0.1
