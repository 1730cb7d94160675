import numpy as np
import pytest

from tests.support.rollouts import DISCOUNT, arguments, rollout
from tests.support.small import numpy
from trpo_cli.maths.psi import (
    episode_times,
    lambda_returns,
    rewards_to_go,
    start_of_part,
    total_returns,
)
from trpo_cli.maths.returns import generalized_advantages, td_residuals


def parts(terminated, truncated):
    """(n, first, last) of every part of a trajectory, in each environment."""
    steps, envs = terminated.shape
    for n in range(envs):
        first = 0
        for t in range(steps):
            if terminated[t, n] or truncated[t, n] or t == steps - 1:
                yield n, first, t
                first = t + 1


def from_definitions(rewards, next_values, terminated, truncated):
    """Rewards to go and total returns, sum by sum."""
    to_go, total = np.zeros_like(rewards), np.zeros_like(rewards)
    for n, first, last in parts(terminated, truncated):
        for t in range(first, last + 1):
            to_go[t, n] = sum(DISCOUNT ** (k - t) * rewards[k, n] for k in range(t, last + 1))
            if not terminated[last, n]:
                to_go[t, n] += DISCOUNT ** (last + 1 - t) * next_values[last, n]
        total[first : last + 1, n] = to_go[first, n]
    return to_go, total


@pytest.fixture(params=range(3))
def case(request, array):
    rewards, values, terminated, truncated, rng = rollout(request.param)
    following = np.concatenate([values[1:], rng.normal(size=(1, 4))])
    next_values = np.where(terminated | truncated, rng.normal(size=values.shape), following)
    given = arguments(array, rewards, values, next_values, terminated, truncated)
    return given, from_definitions(rewards, next_values, terminated, truncated)


def without_values(given):
    return {name: x for name, x in given.items() if name != "values"}


class TestRewardsToGo:
    def test_definition(self, case):
        given, (expected, _) = case
        np.testing.assert_allclose(
            numpy(rewards_to_go(**without_values(given))), expected, atol=1e-12
        )

    def test_minus_v_is_gae_with_lambda_one(self, case):
        given, _ = case
        found = rewards_to_go(**without_values(given)) - given["values"]
        expected = generalized_advantages(**given, gae_lambda=1.0)
        np.testing.assert_allclose(numpy(found), numpy(expected), atol=1e-12)

    def test_leaves_its_arguments_alone(self, case):
        given, _ = case
        before = {name: numpy(x).copy() for name, x in given.items()}
        rewards_to_go(**without_values(given))
        total_returns(**without_values(given))
        for name, x in given.items():
            np.testing.assert_array_equal(numpy(x), before[name])


class TestTotalReturns:
    def test_definition(self, case):
        given, (_, expected) = case
        np.testing.assert_allclose(
            numpy(total_returns(**without_values(given))), expected, atol=1e-12
        )


class TestLambdaReturns:
    def test_one_is_the_reward_to_go(self, case):
        given, (expected, _) = case
        np.testing.assert_allclose(
            numpy(lambda_returns(**given, return_lambda=1.0)), expected, atol=1e-12
        )

    def test_zero_is_one_reward_and_v(self, case):
        given, _ = case
        residuals = td_residuals(**{k: x for k, x in given.items() if k != "continues"})
        found = lambda_returns(**given, return_lambda=0.0)
        np.testing.assert_allclose(numpy(found), numpy(residuals + given["values"]), atol=1e-12)

    def test_between_by_its_recursion(self, case):
        """G_t = r_t + gamma ((1 - lambda) V + lambda G_{t+1}) while the episode goes on."""
        given, _ = case
        found = numpy(lambda_returns(**given, return_lambda=0.7))
        x = {name: numpy(value) for name, value in given.items()}
        for t in range(len(found) - 1):
            later = np.where(
                x["continues"][t] > 0.0,
                0.3 * x["next_values"][t] + 0.7 * found[t + 1],
                x["next_values"][t],
            )
            np.testing.assert_allclose(found[t], x["rewards"][t] + x["discounts"][t] * later)


class TestEpisodeTimes:
    def test_by_hand(self, array):
        """Environment 0 goes on with its fourth step and ends twice; 1 begins and never ends."""
        ended = array(np.array([[True, False], [False, False], [True, False], [False, False]]))
        found = episode_times(array(np.array([3, 0])), ended)
        assert numpy(found).tolist() == [[3, 0], [0, 1], [1, 2], [0, 3]]


class TestStartOfPart:
    def test_by_hand(self, array):
        continues = array(np.array([[0.0], [1.0], [0.0], [1.0]]))
        found = start_of_part(array(np.array([[5], [6], [7], [8]])), continues)
        assert numpy(found).ravel().tolist() == [5, 6, 6, 8]
