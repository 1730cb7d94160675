"""Value functions of images: a network's own, the policy's last output, its last layer."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import global_generators, numpy
from trpo_cli.algos.npg import NPGConfig
from trpo_cli.algos.ppo import PPOConfig
from trpo_cli.algos.trpo import TRPOConfig
from trpo_cli.algos.vpg import VPGConfig
from trpo_cli.config import Config
from trpo_cli.config.settle import fits_together
from trpo_cli.data.frames import FrameStacks
from trpo_cli.maths.returns import explained_variance
from trpo_cli.models.linear_value import LinearValue
from trpo_cli.models.policies.trpo_cnn import TRPOCNNPolicyConfig
from trpo_cli.models.value import Value
from trpo_cli.models.values.cnn import CNNValueConfig
from trpo_cli.models.values.shared import SharedValue, SharedValueConfig

SPACE = spaces.Box(0, 255, (2, 16, 14), np.uint8)
POLICY = TRPOCNNPolicyConfig(precision="float32", hidden_size=12)


def make_policy(seed=0, with_value=False):
    policy = POLICY.build(
        SPACE, spaces.Discrete(3), np.random.default_rng(seed), with_value=with_value
    )
    policy.parameters += 0.02 * torch.from_numpy(
        np.random.default_rng(seed + 1).standard_normal(len(policy.parameters)).astype(np.float32)
    )
    return policy


def problem(size=200, seed=3):
    """Images of one brightness each, 50 of a film; returns that grow with it from -17 to 16."""
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(20, 230, 50)
    noise = generator.uniform(-15, 15, (50, 16, 14))
    planes = (brightness[:, None, None] + noise).astype(np.uint8)
    index = generator.integers(0, 50, (size, 2))
    returns = 40.0 * brightness[index].mean(axis=1) / 255.0 - 20.0
    return FrameStacks(planes, index), returns.astype(np.float32)


def make(algo, value, policy):
    together = fits_together(Config(algo=algo, value=value))
    return value.build(policy, POLICY, SPACE, np.random.default_rng(0), together)


class TestBuild:
    @pytest.mark.parametrize(
        ("algo", "value", "kind", "joint"),
        [
            (PPOConfig(), SharedValueConfig(), SharedValue, True),
            (VPGConfig(), SharedValueConfig(), SharedValue, True),
            (TRPOConfig(), SharedValueConfig(), LinearValue, False),
            (NPGConfig(), SharedValueConfig(), LinearValue, False),
            (PPOConfig(), CNNValueConfig(), Value, False),
            (TRPOConfig(), CNNValueConfig(), Value, False),
        ],
    )
    def test_by_configuration(self, algo, value, kind, joint):
        policy = make_policy(with_value=joint)
        built: Any = make(algo, value, policy)
        assert type(built) is kind
        assert fits_together(Config(algo=algo, value=value)) == joint
        stacks, _ = problem(size=9)
        assert built.predict(built.to_device(stacks)).shape == (9,)


class TestOwnNetwork:
    def test_learns_a_function_of_images(self):
        policy = make_policy()
        config = CNNValueConfig(epochs=4, minibatch_size=50, learning_rate=3e-3)
        value = make(TRPOConfig(), config, policy)
        stacks, returns = problem()
        inputs, generator = value.to_device(stacks), np.random.default_rng(1)
        before, state = policy.parameters.clone(), global_generators()
        assert explained_variance(value.predict(inputs), returns) < 0.3
        for _ in range(13):
            last = value.fit(inputs, returns, generator, 1.0)
        assert explained_variance(value.predict(inputs), returns) > 0.95
        assert last["value/loss"] < 0.1 * returns.var()
        assert torch.equal(policy.parameters, before)
        assert global_generators() == state
        # The loss is in the units of the returns, the variance that of the predictions.
        error = value.predict(inputs) - returns
        assert 1.0 - error.var() / returns.var() > 0.95

    def test_rescaling_the_targets_preserves_the_outputs(self):
        """A fit whose step size is zero moves mean and deviation only; the first ones move V."""
        config = CNNValueConfig(schedule="linear")
        value: Any = make(TRPOConfig(), config, make_policy())
        stacks, returns = problem()
        value.fit(value.to_device(stacks), returns, np.random.default_rng(0), 0.0)
        for scale in (2.0, 100.0):
            before = value.predict(value.to_device(stacks))
            parameters = value.parameters.clone()
            value.fit(value.to_device(stacks), scale * returns, np.random.default_rng(0), 0.0)
            assert not torch.equal(value.parameters, parameters)
            # float32 arithmetic around values as large as the targets' mean.
            np.testing.assert_allclose(
                value.predict(value.to_device(stacks)), before, atol=1e-5 * scale * 50 + 1e-4
            )

    def test_state_goes_on_identically(self):
        stacks, returns = problem()
        config = CNNValueConfig(minibatch_size=50)
        first, second = (make(TRPOConfig(), config, make_policy(seed)) for seed in (0, 1))
        second.parameters += 0.1
        first.fit(first.to_device(stacks), returns, np.random.default_rng(0), 1.0)
        second.load_state({k: numpy(v).copy() for k, v in first.state().items()})
        rows = [
            v.fit(v.to_device(stacks), returns, np.random.default_rng(1), 1.0)
            for v in (first, second)
        ]
        assert rows[0] == rows[1]
        assert torch.equal(first.parameters, second.parameters)


class TestRidge:
    @pytest.mark.parametrize("ridge", [1e-3, 1.0])
    def test_is_the_least_squares_of_augmented_rows(self, ridge):
        """sqrt(n ridge) w = 0 as further equations: numpy's lstsq then minimises the same."""
        policy = make_policy()
        value: Any = make(TRPOConfig(), SharedValueConfig(ridge=ridge), policy)
        stacks, returns = problem()
        phi = policy.features(stacks).astype(np.float64)
        n, k = phi.shape
        assert (n, k) == (200, 12)
        rows = np.block(
            [[phi, np.ones((n, 1))], [np.sqrt(n * ridge) * np.eye(k), np.zeros((k, 1))]]
        )
        targets = np.concatenate([returns, np.zeros(k)])
        expected = np.linalg.lstsq(rows, targets, rcond=None)[0]
        before = policy.parameters.clone()
        metrics = value.fit(value.to_device(stacks), returns, np.random.default_rng(0), 1.0)
        np.testing.assert_allclose(value.parameters, expected, rtol=1e-4, atol=1e-5)
        predictions = phi @ expected[:-1] + expected[-1]
        np.testing.assert_allclose(value.predict(value.to_device(stacks)), predictions, atol=1e-5)
        assert metrics["value/loss"] == pytest.approx(((predictions - returns) ** 2).mean(), 1e-4)
        assert torch.equal(policy.parameters, before)

    def test_a_dead_or_constant_feature_does_no_harm(self):
        policy = make_policy()
        weight, bias = policy.network.views(policy.parameters)[-2]
        weight[:4] = 0.0
        bias[:2], bias[2:4] = -1.0, 3.0  # always zero behind a relu; always three
        value = make(TRPOConfig(), SharedValueConfig(), policy)
        stacks, returns = problem()
        value.fit(value.to_device(stacks), returns, np.random.default_rng(0), 1.0)
        assert np.isfinite(value.parameters).all()
        np.testing.assert_allclose(value.parameters[:4], 0.0, atol=1e-6)

    def test_explains_more_the_second_time(self):
        value = make(TRPOConfig(), SharedValueConfig(), make_policy())
        stacks, returns = problem()
        rows = [
            value.fit(value.to_device(stacks), returns, np.random.default_rng(0), 1.0)
            for _ in range(2)
        ]
        explained = 1.0 - rows[0]["value/loss"] / returns.var()
        found = explained_variance(value.predict(value.to_device(stacks)), returns)
        assert found == pytest.approx(explained, abs=1e-3)
        assert explained > 0.5

    def test_state(self):
        policy, (stacks, returns) = make_policy(), problem()
        first, second = (make(TRPOConfig(), SharedValueConfig(), policy) for _ in range(2))
        first.fit(first.to_device(stacks), returns, np.random.default_rng(0), 1.0)
        second.load_state({k: np.copy(v) for k, v in first.state().items()})
        np.testing.assert_array_equal(
            first.predict(first.to_device(stacks)), second.predict(second.to_device(stacks))
        )


class TestJoint:
    def test_is_the_policys_last_output(self):
        policy = make_policy(with_value=True)
        value = make(PPOConfig(), SharedValueConfig(), policy)
        stacks, _ = problem()
        outputs = policy.linearize(policy.to_device(stacks))
        assert outputs.values is not None
        np.testing.assert_array_equal(
            value.predict(value.to_device(stacks)), outputs.values.numpy()
        )

    def test_reports_the_fit_of_the_batch_and_writes_nothing(self):
        """The prediction before the update: rows of the batch first, bootstraps behind them."""
        policy = make_policy(with_value=True)
        value = make(PPOConfig(), SharedValueConfig(), policy)
        stacks, returns = problem()
        predictions = value.predict(value.to_device(stacks)).astype(np.float64)
        before = policy.parameters.clone()
        policy.parameters += 0.1  # the update rule's work
        batch = 150
        row = value.fit(stacks[:batch], returns[:batch], np.random.default_rng(0), 1.0)
        errors = returns[:batch] - predictions[:batch]
        assert row["value/loss"] == pytest.approx((errors**2).mean(), rel=1e-5)
        assert torch.equal(policy.parameters, before + 0.1)
        assert value.state() == {} and len(value.parameters) == 0
