import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import distributions as td

from tests.support.small import BOX, DISCRETE, MULTI_BINARY, MULTI_DISCRETE, f32, numpy
from trpo_cli.maths.discrete import Bernoulli, Categorical
from trpo_cli.maths.distributions import Gaussian
from trpo_cli.models.heads import make_head

SAMPLES = 20_000
NONE = np.zeros(0, dtype=np.float32)


def head_for(space, actions="rescale"):
    return make_head(space, actions)


def draw(head, outputs, extra=NONE):
    """Many actions in one state."""
    noise = head.noise(np.random.default_rng(0), (SAMPLES,))
    return head.act(np.tile(f32(outputs), (SAMPLES, 1)), extra, noise)


def assert_frequency(events, probability):
    """Within three standard errors of the binomial."""
    error = np.sqrt(probability * (1.0 - probability) / SAMPLES)
    assert abs(events.mean() - probability) < 3.0 * error


class TestGaussianHead:
    def test_samples_have_the_mean_and_deviation(self):
        std = f32([0.5, 2.0])
        actions = draw(head_for(BOX), [1.0, -3.0], np.log(std))
        # Standard errors: sigma / sqrt(n) of the mean, sigma / sqrt(2 n) of the deviation.
        assert (abs(actions.mean(0) - [1.0, -3.0]) < 3.0 * std / SAMPLES**0.5).all()
        assert (abs(actions.std(0) - std) < 3.0 * std / (2.0 * SAMPLES) ** 0.5).all()
        assert abs(np.corrcoef(actions.T)[0, 1]) < 3.0 / SAMPLES**0.5

    def test_samples_have_the_deviation_that_the_network_gives(self):
        """log sigma = -1 + 3 tanh(u / 3); tanh(log 3 / 2) = 1 / 2."""
        head = make_head(BOX, "rescale", -1.0)
        std = np.exp([-1.0, 0.5])
        actions = draw(head, [1.0, -3.0, 0.0, 1.5 * math.log(3.0)])
        assert (abs(actions.mean(0) - [1.0, -3.0]) < 3.0 * std / SAMPLES**0.5).all()
        assert (abs(actions.std(0) - std) < 3.0 * std / (2.0 * SAMPLES) ** 0.5).all()

    def test_no_noise_is_the_mean(self):
        outputs = f32([[0.3, -2.0]])
        np.testing.assert_array_equal(head_for(BOX).act(outputs, f32([0, 0]), None), outputs)
        both = make_head(BOX, "rescale", -1.0).act(f32([[0.3, -2.0, 5.0, 7.0]]), NONE, None)
        np.testing.assert_array_equal(both, outputs)

    def test_rescale_maps_the_unit_box_to_the_bounds(self):
        space = spaces.Box(np.array([-1.0, 2.0]), np.array([3.0, 10.0]), dtype=np.float64)
        actions = np.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [-5.0, 5.0]])
        np.testing.assert_allclose(
            head_for(space).to_env(actions), [[-1, 2], [1, 6], [3, 10], [-1, 10]]
        )

    def test_clip_and_raw(self):
        space = spaces.Box(np.array([-1.0, 2.0]), np.array([3.0, 10.0]), dtype=np.float64)
        actions = np.array([[-5.0, 5.0], [2.0, 11.0]])
        np.testing.assert_array_equal(head_for(space, "clip").to_env(actions), [[-1, 5], [2, 10]])
        np.testing.assert_array_equal(head_for(space, "raw").to_env(actions), actions)

    def test_squash_maps_everything_into_the_bounds(self):
        """tanh(log 3 / 2) = (3 - 1) / (3 + 1); a half-infinite bound only clips."""
        low, high = np.array([-1.0, 2.0, 0.0]), np.array([3.0, 10.0, np.inf])
        head = head_for(spaces.Box(low, high, dtype=np.float64), "squash")
        half = math.log(3.0) / 2.0
        actions = np.array([[0.0, half, 7.0], [50.0, -50.0, -7.0]])
        np.testing.assert_allclose(head.to_env(actions), [[1.0, 8.0, 7.0], [3.0, 2.0, 0.0]])

    def test_squashed_densities_have_the_gaussians_ratio_and_kl(self):
        """torch's transformed distributions are the oracle: of two policies, for the same
        commands, and their KL by 20,000 samples."""
        head = head_for(BOX, "squash")
        means, stds = [[0.3, -0.8], [0.1, -0.5]], [[0.5, 0.9], [0.6, 0.8]]
        ours = [
            head.distribution(np.array([mean]), np.log(std))
            for mean, std in zip(means, stds, strict=True)
        ]
        theirs = [
            td.TransformedDistribution(
                td.Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(std)),
                td.TanhTransform(),
            )
            for mean, std in zip(means, stds, strict=True)
        ]
        noise = np.random.default_rng(0).standard_normal((SAMPLES, 2))
        actions = means[0] + noise * stds[0]
        commands = torch.tensor(head.to_env(actions))
        log_ratio = ours[0].log_prob(actions) - ours[1].log_prob(actions)
        expected = [one.log_prob(commands).sum(1).numpy() for one in theirs]
        # Near the bounds the oracle has to undo tanh from what rounding has left of it.
        inside = abs(commands).amax(1).numpy() < 0.999
        difference = log_ratio - (expected[0] - expected[1])
        assert inside.mean() > 0.9 and abs(difference[inside]).max() < 1e-5
        error = log_ratio.std() / len(log_ratio) ** 0.5
        assert abs(log_ratio.mean() - ours[1].kl_from(ours[0])[0]) < 3.0 * error

    def test_infinite_bounds_are_left_alone_and_half_infinite_ones_clip(self):
        low, high = np.array([-np.inf, 0.0, -2.0]), np.array([np.inf, np.inf, 2.0])
        head = head_for(spaces.Box(low, high, dtype=np.float64))
        actions = np.array([[7.0, -7.0, 0.5], [-7.0, 7.0, 9.0]])
        np.testing.assert_array_equal(head.to_env(actions), [[7.0, 0.0, 1.0], [-7.0, 7.0, 2.0]])

    def test_does_not_change_the_stored_actions(self):
        for mapping in ("rescale", "clip", "squash", "raw"):
            actions = np.array([[5.0, -5.0]])
            head_for(BOX, mapping).to_env(actions)
            np.testing.assert_array_equal(actions, [[5.0, -5.0]])

    def test_keeps_the_shape_of_the_space(self):
        head = head_for(spaces.Box(-1.0, 1.0, (2, 3)))
        assert (head.num_outputs, head.num_extra) == (6, 6)
        assert head.to_env(np.zeros((4, 6))).shape == (4, 2, 3)


class TestCategoricalHead:
    def test_frequencies_are_the_softmax(self):
        logits = np.array([0.0, 1.0, -1.0])
        actions = draw(head_for(DISCRETE), logits)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        for category, probability in enumerate(probabilities):
            assert_frequency(actions[:, 0] == category, probability)

    def test_several_are_independent(self):
        actions = draw(head_for(MULTI_DISCRETE), [np.log(3.0), 0.0, 0.0, 0.0, np.log(2.0)])
        assert_frequency(actions[:, 0] == 0, 3 / 4)
        assert_frequency(actions[:, 1] == 2, 1 / 2)
        assert_frequency((actions == [0, 2]).all(1), 3 / 8)

    def test_no_noise_is_the_most_likely(self):
        outputs = f32([[1.0, 2.0, 0.0, 5.0, 4.0], [3.0, 2.0, 0.0, 1.0, 4.0]])
        np.testing.assert_array_equal(
            head_for(MULTI_DISCRETE).act(outputs, NONE, None), [[1, 1], [0, 2]]
        )

    def test_to_env(self):
        assert head_for(DISCRETE).to_env(np.array([[2], [0]])).tolist() == [2, 0]
        assert head_for(MULTI_DISCRETE).to_env(np.array([[1, 2]])).tolist() == [[1, 2]]


class TestBernoulliHead:
    def test_frequencies_are_the_sigmoid(self):
        actions = draw(head_for(MULTI_BINARY), [np.log(3.0), -np.log(9.0)])
        assert_frequency(actions[:, 0] == 1, 3 / 4)
        assert_frequency(actions[:, 1] == 1, 1 / 10)
        assert_frequency((actions == 1).all(1), 3 / 40)

    def test_no_noise_is_the_most_likely(self):
        actions = head_for(MULTI_BINARY).act(f32([[0.1, -0.1]]), NONE, None)
        np.testing.assert_array_equal(actions, [[1, 0]])

    def test_to_env(self):
        space = spaces.MultiBinary(2)
        assert space.contains(head_for(space).to_env(np.array([[1, 0]]))[0])


class TestNoise:
    @pytest.mark.parametrize("space", [BOX, DISCRETE, MULTI_DISCRETE, MULTI_BINARY])
    def test_shape_precision_and_source(self, space):
        head = head_for(space)
        noise = head.noise(np.random.default_rng(3), (4, 2))
        assert (noise.shape, noise.dtype) == ((4, 2, head.num_outputs), np.float32)
        np.testing.assert_array_equal(noise, head.noise(np.random.default_rng(3), (4, 2)))


class TestMakeHead:
    @pytest.mark.parametrize(
        ("space", "outputs", "extra", "kind"),
        [
            (spaces.Box(-1.0, 1.0, (3,)), 3, 3, Gaussian),
            (spaces.Discrete(4), 4, 0, Categorical),
            (spaces.MultiDiscrete([2, 5]), 7, 0, Categorical),
            (spaces.MultiBinary(3), 3, 0, Bernoulli),
        ],
    )
    def test_sizes_and_distribution(self, space, outputs, extra, kind):
        head = head_for(space)
        assert (head.num_outputs, head.num_extra) == (outputs, extra)
        distribution = head.distribution(np.zeros((2, outputs)), np.zeros(extra))
        assert isinstance(distribution, kind)
        assert numpy(distribution.entropy()).shape == (2,)

    def test_refuses_other_spaces(self):
        with pytest.raises(TypeError, match="Text"):
            head_for(spaces.Text(3))
