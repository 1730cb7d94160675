"""Objectives over several actions in one state: closed forms, autograd, invariances."""

import numpy as np
import torch

from tests.support.small import numpy
from trpo_cli.maths.vine import (
    effective_sample_size,
    finite_action,
    normalized_weights,
    self_normalized,
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


def test_effective_sample_size_between_one_and_all(array):
    weights = array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(numpy(effective_sample_size(weights)), [4.0, 1.0, 2.0])
