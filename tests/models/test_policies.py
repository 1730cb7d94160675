from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import distributions as td

from tests.support.small import (
    BOX,
    DISCRETE,
    FEATURES,
    SPACES,
    explicit_fisher,
    f32,
    make_batch,
    make_policy,
    numpy,
    oracle_log_prob,
    oracle_policy,
    tensor,
)
from trpo_cli.maths.state_gaussian import StateGaussian
from trpo_cli.models.heads import make_head
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.policies.linear import LinearPolicyConfig
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.models.policy import Policy
from trpo_cli.models.torch_mlp import TorchMLP

OBSERVATIONS = spaces.Box(-10.0, 10.0, (FEATURES,))
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)


class TestVjp:
    @every_space
    def test_log_probabilities_pull_back_as_by_autograd(self, space):
        policy = make_policy(space)
        batch = make_batch(policy)
        here = policy.linearize(batch.observations)
        _, vjp = here.distribution.log_prob_vjp(batch.actions)
        weights = np.random.default_rng(0).normal(size=64)
        theta = tensor(policy.parameters).requires_grad_()
        parts = oracle_policy(policy, space, batch.observations)(theta)
        value = (tensor(weights) * oracle_log_prob(parts, batch.actions)).sum()
        (expected,) = torch.autograd.grad(value, theta)
        np.testing.assert_allclose(here.vjp(vjp(weights)), expected.numpy(), atol=1e-10)

    def test_the_score_of_a_linear_gaussian_policy(self):
        """u ~ N(-Kx, diag(sigma^2)): grad_K log pi = -diag(sigma^-2) (u + Kx) x'; W = -K' is what
        is stored."""
        config = LinearPolicyConfig(bias=False, normalize_observations=False, output_gain=1.0)
        policy = config.build(OBSERVATIONS, BOX, np.random.default_rng(0))
        policy.parameters[-2:] = np.log([0.5, 2.0])
        gain = -policy.parameters[: FEATURES * 2].reshape(FEATURES, 2).T
        x, u = f32([[1.0, -2.0, 3.0]]), f32([[0.3, -0.7]])
        here = policy.linearize(x)
        score = here.vjp(here.distribution.log_prob_vjp(u)[1](f32([1.0])))
        in_gain = -np.diag([4.0, 0.25]) @ (u[0] + gain @ x[0])[:, None] * x
        np.testing.assert_allclose(
            score[: FEATURES * 2].reshape(FEATURES, 2).T, -in_gain, rtol=1e-5
        )

    def test_works_where_the_parameters_are(self):
        """The gradient is made beside the parameters, on a GPU say: a meta device shows it."""
        mlp, head = MLP([FEATURES, 2]), make_head(BOX, "rescale")
        network = TorchMLP(mlp, "meta")
        parameters = torch.zeros(mlp.num_parameters + 2, device="meta")
        policy = Policy(network, head, Normalizer((FEATURES,), 10.0), parameters)
        here = policy.linearize(torch.zeros(4, FEATURES, device="meta"))
        _, vjp = here.distribution.log_prob_vjp(torch.zeros(4, 2, device="meta"))
        assert here.vjp(vjp(torch.zeros(4, device="meta"))).device.type == "meta"


class TestFisherProduct:
    @every_space
    @pytest.mark.parametrize("layer_norm", [False, True])
    def test_is_the_hessian_of_the_mean_kl(self, space, layer_norm):
        policy = make_policy(space, layer_norm=layer_norm)
        batch = make_batch(policy, size=20)
        here = policy.linearize(batch.observations)
        columns = [here.fisher_product(v) for v in np.eye(len(policy.parameters))]
        expected = explicit_fisher(policy, space, batch.observations)
        np.testing.assert_allclose(np.stack(columns), expected, atol=1e-12)

    @pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["Box", "Discrete"])
    def test_is_the_mean_of_score_outer_products(self, space):
        """v'Fv = E (v . grad log pi)^2 over the policy's own actions, by Monte Carlo."""
        policy = make_policy(space)
        rng = np.random.default_rng(0)
        states = np.tile(rng.normal(size=(5, FEATURES)).astype(np.float32), (2000, 1))
        actions = tensor(policy.act(states, policy.noise(rng, (len(states),))))
        inputs = tensor(states.astype(np.float64))
        v = tensor(rng.normal(size=(4, len(policy.parameters))))

        parts = oracle_policy(policy, space, inputs)

        def log_prob(theta):
            return oracle_log_prob(parts(theta), actions)

        here = policy.linearize(inputs.numpy())
        for direction in v:
            theta = tensor(policy.parameters)
            _, slopes = torch.autograd.functional.jvp(log_prob, theta, direction)
            squares = (slopes**2).numpy()
            expected = float(direction.numpy() @ here.fisher_product(direction.numpy()))
            error = squares.std() / len(squares) ** 0.5
            assert abs(squares.mean() - expected) < 3.0 * error


class TestAct:
    def test_samples_the_distribution_that_the_update_sees(self):
        """Raw observations, normaliser, noise: the log-probabilities match those of `linearize`."""
        policy = make_policy(BOX, dtype=np.float32)
        rng = np.random.default_rng(0)
        policy.normalizer.update(rng.normal(3.0, 5.0, (100, FEATURES)))
        observations = rng.normal(3.0, 5.0, (10, FEATURES)).astype(np.float32)
        noise = policy.noise(rng, (10,))
        actions = policy.act(observations, noise)
        distribution = policy.distribution(policy.normalize(observations))
        std = np.exp(policy.parameters[-2:])
        expected = td.Normal(torch.tensor(0.0), torch.tensor(std)).log_prob(tensor(noise * std))
        np.testing.assert_allclose(
            distribution.log_prob(actions), expected.sum(1).numpy(), rtol=1e-4
        )

    @every_space
    def test_is_frozen(self, space):
        policy = make_policy(space)
        before = {k: np.copy(v) for k, v in policy.state().items()}
        policy.act(np.ones((2, FEATURES), np.float32), None)
        for key, value in policy.state().items():
            np.testing.assert_array_equal(value, before[key])

    @every_space
    def test_the_same_on_torch(self, space):
        observations = np.random.default_rng(0).normal(size=(6, FEATURES)).astype(np.float32)
        ours = make_policy(space, dtype=np.float32)
        theirs = make_policy(space, dtype=np.float32, torch_network=True)
        noise = ours.noise(np.random.default_rng(1), (6,))
        np.testing.assert_allclose(
            theirs.act(observations, noise), ours.act(observations, noise), rtol=1e-5
        )


class TestState:
    @pytest.mark.parametrize("torch_network", [False, True])
    def test_round_trip_gives_identical_actions(self, torch_network):
        policy = make_policy(dtype=np.float32, torch_network=torch_network)
        rng = np.random.default_rng(0)
        policy.normalizer.update(rng.normal(3.0, 5.0, (100, FEATURES)))
        other = make_policy(seed=9, dtype=np.float32, torch_network=torch_network)
        other.load_state({k: numpy(v).copy() for k, v in policy.state().items()})
        observations = rng.normal(size=(10, FEATURES)).astype(np.float32)
        noise = policy.noise(rng, (10,))
        np.testing.assert_array_equal(
            policy.act(observations, noise), other.act(observations, noise)
        )
        np.testing.assert_array_equal(numpy(policy.parameters), numpy(other.parameters))


def log_std(policy, states):
    distribution = policy.distribution(states)
    assert isinstance(distribution, StateGaussian)
    return distribution.log_std


class TestBuildPolicy:
    def test_mlp(self):
        config = MLPPolicyConfig(hidden_sizes=[7, 6], init_log_std=-1.0, output_gain=0.01)
        policy = config.build(OBSERVATIONS, BOX, np.random.default_rng(0))
        assert len(policy.parameters) == (3 * 7 + 7) + (7 * 6 + 6) + (6 * 2 + 2) + 2
        assert np.exp(policy.parameters[-2:]) == pytest.approx(np.exp(-1.0))
        # The last layer is orthogonal times 0.01, its inputs are at most 1 in size.
        actions = policy.act(np.ones((4, 3), np.float32), None)
        assert 0.0 < abs(actions).max() < 0.01 * 6**0.5

    def test_the_network_gives_the_deviation(self):
        """At first nearly that of `init_log_std` everywhere; later never beyond its bounds."""
        config = MLPPolicyConfig(hidden_sizes=[6], log_std="state", init_log_std=-1.5)
        policy = config.build(OBSERVATIONS, BOX, np.random.default_rng(0))
        assert len(policy.parameters) == (3 * 6 + 6) + (6 * 4 + 4)
        states = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
        # As above, and the slope is at most 1.
        first = log_std(policy, states)
        assert 0.0 < abs(first + 1.5).max() < 0.01 * 6**0.5
        policy.parameters *= 1e4
        later = log_std(policy, states)
        assert later.min() == pytest.approx(-4.5) and later.max() == pytest.approx(1.5)

    @pytest.mark.parametrize("bias", [True, False])
    def test_linear_is_linear(self, bias):
        config = LinearPolicyConfig(bias=bias, normalize_observations=False, output_gain=1.0)
        policy = config.build(OBSERVATIONS, BOX, np.random.default_rng(0))
        assert len(policy.parameters) == 3 * 2 + 2 * bias + 2
        policy.parameters[:] = np.arange(len(policy.parameters))
        weights = np.arange(6).reshape(3, 2)
        x = f32([[1.0, -2.0, 3.0]])
        expected = x @ weights + (np.array([6.0, 7.0]) if bias else 0.0)
        np.testing.assert_allclose(policy.act(x, None), expected)

    def test_settings_reach_the_parts(self):
        config = replace(MLPPolicyConfig(), observation_clip=0.5, actions="clip")
        policy = config.build(OBSERVATIONS, BOX, np.random.default_rng(0))
        assert abs(policy.normalize(np.full((1, 3), 9.0))).max() == 0.5
        np.testing.assert_array_equal(policy.to_env(np.array([[3.0, -0.2]])), [[1.0, -0.2]])
        assert isinstance(policy.normalizer, Normalizer) and policy.normalizer.enabled
