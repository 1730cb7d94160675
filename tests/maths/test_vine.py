"""Objectives over several actions in one state: closed forms, autograd, invariances."""

import numpy as np
import pytest
import torch

from tests.support.small import numpy
from trpo_cli.maths.vine import (
    effective_sample_size,
    finite_action,
    normalized_weights,
    self_normalized,
    trunk_weight,
)


def problem(states=5, actions=4, seed=0):
    rng = np.random.default_rng(seed)
    logits, values = rng.normal(size=(states, actions)), 3.0 * rng.normal(size=(states, actions))
    log_prob = logits - np.log(np.exp(logits).sum(1))[:, None]
    return log_prob, rng.normal(size=(states, actions)), values


def gradient(function, log_prob):
    x = torch.tensor(log_prob, requires_grad=True)
    value = function(x)
    return value.detach().numpy(), torch.autograd.grad(value.sum(), x)[0].numpy()


class TestFiniteAction:
    def test_value_is_the_expectation_and_slope_its_derivative(self, array):
        log_prob, _, values = problem()
        each, slope = finite_action(array(log_prob), array(values))
        wanted, derivative = gradient(lambda x: (x.exp() * torch.tensor(values)).sum(1), log_prob)
        np.testing.assert_allclose(numpy(each), wanted, rtol=1e-12)
        np.testing.assert_allclose(numpy(slope), derivative, rtol=1e-12)

    def test_a_constant_leaves_the_gradient_in_logits_alone(self, array):
        """Through the softmax: d/dlogits = slope - pi sum(slope)."""
        log_prob, _, values = problem()

        def in_logits(values):
            slope = numpy(finite_action(array(log_prob), array(values))[1])
            return slope - np.exp(log_prob) * slope.sum(1)[:, None]

        shifted = values + np.arange(5.0)[:, None]
        np.testing.assert_allclose(in_logits(shifted), in_logits(values), atol=1e-12)


class TestSelfNormalized:
    def test_value_and_slope(self, array):
        log_prob, log_q, values = problem()

        def wanted(x):
            w = torch.exp(x - torch.tensor(log_q))
            return (w * torch.tensor(values)).sum(1) / w.sum(1)

        each, slope = self_normalized(array(log_prob), array(log_q), array(values))
        value, derivative = gradient(wanted, log_prob)
        np.testing.assert_allclose(numpy(each), value, rtol=1e-12)
        np.testing.assert_allclose(numpy(slope), derivative, rtol=1e-10, atol=1e-14)

    def test_a_constant_per_state_leaves_the_gradient_alone(self, array):
        log_prob, log_q, values = problem()
        slopes = [
            numpy(self_normalized(array(log_prob), array(log_q), array(v))[1])
            for v in (values, values + 100.0 * np.arange(5.0)[:, None])
        ]
        np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-11)

    def test_a_factor_of_the_proposal_is_immaterial(self, array):
        log_prob, log_q, values = problem()
        first = self_normalized(array(log_prob), array(log_q), array(values))
        second = self_normalized(array(log_prob), array(log_q + 7.0), array(values))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-12, atol=1e-13)

    def test_weights_do_not_overflow(self, array):
        weights = normalized_weights(array([[800.0, 0.0]]), array([[0.0, 0.0]]))
        np.testing.assert_array_equal(numpy(weights), [[1.0, 0.0]])


def draws(rng, samples, states, actions, spread, q_spread):
    """Estimates of one gradient, 0.5, by a trunk and by a vine. The scores of the policy are +-1,
    A = 0.5 score + noise, and Q is the same plus a constant of its state."""
    score = rng.choice([-1.0, 1.0], samples)
    trunk = (score * (0.5 * score + spread * rng.normal(size=samples))).mean()
    scores = rng.choice([-1.0, 1.0], (states, actions))
    q = 0.5 * scores + q_spread * rng.normal(size=scores.shape) + rng.normal(size=(states, 1))
    zeros = np.zeros_like(q)
    return trunk, (self_normalized(zeros, zeros, q)[1] * scores).sum() / states


class TestTrunkWeight:
    N, S, K = 40, 6, 3

    @pytest.mark.parametrize("standardized", [True, False])
    def test_makes_the_variance_smallest(self, standardized):
        """Of J's gradient, over its square. The trunk's has sigma_A^2 / N; that of the mean over S
        states of sum_k (Q_k - mean) g_k / K has sigma^2 (K - 1) / K^2 / S, and shows (K - 1) / K
        of the gradient."""
        a, sigma, k = 3.0, 0.8, self.K
        q = sigma * np.sqrt((k - 1) / k)  # the deviation of K numbers from their own mean
        over = (a, q) if standardized else (1.0, 1.0)
        w = np.linspace(0.0, 1.0, 100_001)
        trunk, vine = w / over[0], (1.0 - w) / over[1]
        variance = trunk**2 * a**2 / self.N + vine**2 * sigma**2 * (k - 1) / k**2 / self.S
        best = w[np.argmin(variance / (trunk + vine * (k - 1) / k) ** 2)]
        found = trunk_weight((self.N, a), (self.S * (k - 1), q), standardized)
        assert found == pytest.approx(best, abs=2e-5)

    def test_the_variances_are_those_of_draws(self):
        """The margins are three standard errors: of a variance, sqrt(2 / 4,000) of it."""
        rng, (n, s, k) = np.random.default_rng(0), (self.N, self.S, self.K)
        found = np.array([draws(rng, n, s, k, 2.0, 0.8) for _ in range(4_000)])
        means, variances = found.mean(axis=0), found.var(axis=0)
        np.testing.assert_allclose(means, [0.5, 0.5 * (k - 1) / k], atol=0.015)
        signal = 0.25 * (k - 1) / k**3  # the sample variance of K signs is itself random
        wanted = [4.0 / n, (0.64 * (k - 1) / k**2 + 2.0 * signal) / s]
        np.testing.assert_allclose(variances, wanted, rtol=0.07)

    def test_what_has_no_deviation_has_no_weight(self):
        assert trunk_weight((8, 0.0), (6, 1.0), True) == 0.0
        assert trunk_weight((8, 1.0), (6, 0.0), False) == 1.0
        assert trunk_weight((8, 1.0), (0, 1.0), True) == 1.0
        assert trunk_weight((8, 0.0), (6, 0.0), True) == 0.5


def test_effective_sample_size_between_one_and_all(array):
    weights = array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(numpy(effective_sample_size(weights)), [4.0, 1.0, 2.0])
