import numpy as np
import pytest

from tests.support.rollouts import DISCOUNT, arguments, rollout
from tests.support.small import numpy
from trpo_cli.maths.returns import (
    explained_variance,
    generalized_advantages,
    standardize,
    td_residuals,
)


def brute_force(rewards, values, next_values, terminated, truncated, gae_lambda):
    """GAE from its definition: the (1 - lambda) lambda^(k-1) weighted mean of k-step advantages,
    of which the longest one that the episode allows gets the weight of all longer ones."""
    steps, envs = rewards.shape
    result = np.zeros_like(rewards)
    for n in range(envs):
        for t in range(steps):
            last = t
            while last < steps - 1 and not (terminated[last, n] or truncated[last, n]):
                last += 1
            total = 0.0
            for end in range(t, last + 1):
                k = end - t + 1
                k_step = sum(DISCOUNT**i * rewards[t + i, n] for i in range(k)) - values[t, n]
                if not terminated[end, n]:
                    k_step += DISCOUNT**k * next_values[end, n]
                weight = 1.0 if end == last else 1.0 - gae_lambda
                total += weight * gae_lambda ** (k - 1) * k_step
            result[t, n] = total
    return result


class TestTdResiduals:
    def test_by_hand(self, array):
        arrays = [array([[x]]) for x in (1.0, 2.0, 3.0, 0.5)]
        assert float(td_residuals(*arrays)[0, 0]) == 1.0 + 0.5 * 3.0 - 2.0


class TestGeneralizedAdvantages:
    @pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
    @pytest.mark.parametrize("seed", range(3))
    def test_brute_force_agrees(self, array, gae_lambda, seed):
        rewards, values, terminated, truncated, rng = rollout(seed)
        following = np.concatenate([values[1:], rng.normal(size=(1, 4))])
        # What an ended episode last saw has a value of its own.
        next_values = np.where(terminated | truncated, rng.normal(size=values.shape), following)
        ours = generalized_advantages(
            **arguments(array, rewards, values, next_values, terminated, truncated),
            gae_lambda=gae_lambda,
        )
        expected = brute_force(rewards, values, next_values, terminated, truncated, gae_lambda)
        np.testing.assert_allclose(numpy(ours), expected, atol=1e-12)

    @pytest.mark.parametrize(
        # One step of reward 1 from V = 0.5 to V = 2.
        ("terminated", "expected"),
        [(True, 1.0 - 0.5), (False, 1.0 + DISCOUNT * 2.0 - 0.5)],
    )
    def test_truncation_is_bootstrapped_and_termination_is_not(self, array, terminated, expected):
        ended = np.array([[terminated]])
        one = np.ones((1, 1))
        args = arguments(array, one, 0.5 * one, 2.0 * one, ended, ~ended)
        assert float(generalized_advantages(**args, gae_lambda=0.95)[0, 0]) == pytest.approx(
            expected
        )

    def test_lambda_zero_is_the_residual(self, array):
        rewards, values, terminated, truncated, _ = rollout(0)
        args = arguments(array, rewards, values, values[::-1].copy(), terminated, truncated)
        advantages = generalized_advantages(**args, gae_lambda=0.0)
        del args["continues"]
        np.testing.assert_array_equal(numpy(advantages), numpy(td_residuals(**args)))

    def test_leaves_its_arguments_alone(self, array):
        rewards, values, terminated, truncated, _ = rollout(0)
        args = arguments(array, rewards, values, values, terminated, truncated)
        before = {name: numpy(x).copy() for name, x in args.items()}
        generalized_advantages(**args, gae_lambda=0.9)
        for name, x in args.items():
            np.testing.assert_array_equal(numpy(x), before[name])


class TestStandardize:
    def test_divides_by_the_deviation_not_the_variance(self, array):
        np.testing.assert_allclose(numpy(standardize(array([0.0, 4.0]))), [-1.0, 1.0])

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_mean_zero_and_deviation_one(self, array, scale):
        x = np.float32(scale) * np.random.default_rng(0).normal(3.0, 1.0, 500).astype(np.float32)
        y = numpy(standardize(array(x)))
        # float32 sums of 500 terms of order one.
        assert y.mean() == pytest.approx(0.0, abs=1e-5)
        assert y.std() == pytest.approx(1.0, abs=1e-5)

    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e8])
    def test_a_constant_is_only_centred(self, array, constant):
        """The mean of equal float32 numbers is off by a rounding, which must not become +-1."""
        y = numpy(standardize(array(np.full(1001, constant, np.float32))))
        np.testing.assert_allclose(y, 0.0, atol=1e-6 * abs(constant))


class TestExplainedVariance:
    def test_known_values(self, array):
        targets = array([1.0, 2.0, 4.0])
        assert explained_variance(targets, targets) == 1.0
        assert explained_variance(targets * 0.0, targets) == pytest.approx(0.0)
        assert explained_variance(-targets, targets) == pytest.approx(1.0 - 4.0)
        assert explained_variance(targets + 5.0, targets) == pytest.approx(1.0)

    def test_numpy_agrees(self, array):
        x, y = np.random.default_rng(0).normal(size=(2, 50))
        expected = 1.0 - np.var(y - x) / np.var(y)
        assert explained_variance(array(x), array(y)) == pytest.approx(expected)

    def test_constant_targets_have_none(self, array):
        assert np.isnan(explained_variance(array([1.0, 2.0]), array([3.0, 3.0])))
