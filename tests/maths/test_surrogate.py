import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.small import numpy, tensor
from trpo_cli.maths.surrogate import (
    clip_fraction,
    clipped_slope,
    clipped_surrogate,
    sampled_kl,
    spo_slope,
    spo_surrogate,
    surrogate,
)

CLIP = 0.2


@pytest.fixture
def sample(array):
    """Log-probabilities whose ratios lie on both sides of the clip for both signs of A."""
    rng = np.random.default_rng(0)
    old, change, advantages = rng.normal(size=(3, 200))
    new, ratio = old + 0.4 * change, np.exp(0.4 * change)
    for side in (ratio < 1 - CLIP, abs(ratio - 1) < CLIP, ratio > 1 + CLIP):
        assert (side & (advantages > 0)).any() and (side & (advantages < 0)).any()
    return array(new), array(old), array(advantages)


class TestSurrogate:
    def test_is_the_mean_of_weighted_advantages(self, sample):
        new, old, advantages = (numpy(x) for x in sample)
        assert float(surrogate(*sample)) == pytest.approx((np.exp(new - old) * advantages).mean())

    def test_slope_at_equal_policies_is_the_advantage(self, sample):
        """d surrogate / d log pi = A / B: the policy gradient's weights."""
        _, old, advantages = (tensor(x) for x in sample)
        new = old.clone().requires_grad_()
        (slope,) = torch.autograd.grad(surrogate(new, old, advantages), new)
        np.testing.assert_allclose(slope.numpy(), advantages.numpy() / len(old), rtol=1e-12)


class TestSampledKl:
    def test_its_expectation_is_the_kl(self, array):
        """Over all actions of a categorical pi_old."""
        old, new = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
        found = numpy(sampled_kl(array(np.log(new)), array(np.log(old))))
        assert old @ found == pytest.approx((old * np.log(old / new)).sum())
        assert (found > 0.0).all()


class TestClippedSurrogate:
    @pytest.mark.parametrize(
        ("ratio", "advantage", "expected"),
        [
            (1.1, 2.0, 2.2),
            (1.5, 2.0, 2.4),  # (1 + eps) A: nothing to gain further out
            (0.5, 2.0, 1.0),  # r A: below the clip, but an improvement waits
            (1.5, -2.0, -3.0),
            (0.5, -2.0, -1.6),
        ],
    )
    def test_by_hand(self, array, ratio, advantage, expected):
        value = clipped_surrogate(array([math.log(ratio)]), array([0.0]), array([advantage]), CLIP)
        assert float(value) == pytest.approx(expected)


class TestClippedSlope:
    def test_autograd_agrees(self, sample):
        new, old, advantages = (tensor(x) for x in sample)
        new.requires_grad_()
        value = clipped_surrogate(new, old, advantages, CLIP)
        (expected,) = torch.autograd.grad(value * len(new), new)
        ours = dict(zip(("log_prob", "old_log_prob", "advantages"), sample, strict=True))
        slope = numpy(clipped_slope(**ours, clip_range=CLIP))
        np.testing.assert_allclose(slope, expected.numpy(), rtol=1e-12)
        assert 0 < np.count_nonzero(slope) < len(slope)

    def test_at_the_old_policy_it_is_the_advantage(self, sample):
        _, old, advantages = sample
        np.testing.assert_array_equal(
            numpy(clipped_slope(old, old, advantages, CLIP)), numpy(advantages)
        )

    def test_nan_stays(self, array):
        zero = array([0.0])
        assert np.isnan(numpy(clipped_slope(zero, zero, array([np.nan]), CLIP))).all()


class TestSPO:
    @pytest.mark.parametrize("advantage", [2.0, -3.0])
    def test_the_maximum_is_at_the_end_of_the_interval(self, array, advantage):
        """At r = 1 + sign(A) eps: r A - |A| eps / 2, and no slope. Beyond, the slope leads back."""
        sign = math.copysign(1.0, advantage)
        best = 1.0 + sign * CLIP
        sample: Any = [array([x]) for x in (math.log(best), 0.0, advantage)]
        expected = best * advantage - abs(advantage) * CLIP / 2.0
        assert float(spo_surrogate(sample[0], sample[1], sample[2], CLIP)) == pytest.approx(
            expected
        )
        assert spo_slope(sample[0], sample[1], sample[2], CLIP).item() == pytest.approx(
            0.0, abs=1e-12
        )
        beyond: Any = [array([math.log(1.0 + sign * 2.0 * CLIP)]), *sample[1:]]
        assert spo_slope(beyond[0], beyond[1], beyond[2], CLIP).item() * sign < 0.0

    def test_autograd_agrees(self, sample):
        new, old, advantages = (tensor(x) for x in sample)
        new.requires_grad_()
        value = spo_surrogate(new, old, advantages, CLIP)
        (expected,) = torch.autograd.grad(value * len(new), new)
        found = numpy(spo_slope(sample[0], sample[1], sample[2], CLIP))
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9, atol=1e-12)


class TestClipFraction:
    def test_by_hand(self, array):
        ratios = np.array([1.0, 1.19, 1.21, 0.81, 0.79])
        assert (
            clip_fraction(array(np.log(ratios)), array(np.zeros(5)), array(np.ones(5)), CLIP)
            == 2 / 5
        )
