import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import (
    DISCRETE,
    SPACES,
    make_batch,
    make_policy,
    oracle_entropy,
    oracle_kl,
    oracle_log_prob,
    oracle_policy,
    tensor,
)
from trpo_cli.algos.base import policy_metrics
from trpo_cli.algos.objectives import SinglePathObjective
from trpo_cli.maths.discrete import Categorical

every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)


class TestPolicyGradient:
    @every_space
    @pytest.mark.parametrize("entropy_coef", [0.0, 0.3])
    def test_is_the_gradient_of_the_surrogate_at_the_old_policy(self, space, entropy_coef):
        policy = make_policy(space)
        batch = make_batch(policy)
        here = policy.linearize(batch.observations)
        objective = SinglePathObjective(here, batch, entropy_coef)
        gradient, log_prob = objective.gradient, objective.old_log_prob
        parts = oracle_policy(policy, space, batch.observations)
        old = oracle_log_prob(parts(tensor(policy.parameters)), batch.actions)
        np.testing.assert_allclose(log_prob, old.numpy(), rtol=1e-12)

        theta = tensor(policy.parameters).requires_grad_()
        new = parts(theta)
        ratio = torch.exp(oracle_log_prob(new, batch.actions) - old)
        value = (ratio * tensor(batch.advantages)).mean()
        value = value + entropy_coef * oracle_entropy(new).mean()
        (expected,) = torch.autograd.grad(value, theta)
        np.testing.assert_allclose(gradient, expected.numpy(), atol=1e-12)

    def test_advantages_of_one_state_move_its_actions(self):
        """E grad log pi = 0: equal advantages for every action of a state cancel on average."""
        policy = make_policy(DISCRETE, hidden=())
        batch = make_batch(policy, size=1)
        here = policy.linearize(batch.observations)
        assert isinstance(here.distribution, Categorical)
        probs = np.exp(here.distribution.log_probs()[0])
        total = sum(
            p * here.vjp(here.distribution.log_prob_vjp(np.array([[a]]))[1](np.ones(1)))
            for a, p in enumerate(probs)
        )
        np.testing.assert_allclose(total, 0.0, atol=1e-12)


class TestPolicyMetrics:
    @every_space
    def test_torch_distributions_agree(self, space):
        policy = make_policy(space)
        batch = make_batch(policy)
        parts = oracle_policy(policy, space, batch.observations)
        old = parts(tensor(policy.parameters))
        here = policy.linearize(batch.observations)
        ours, objective = here.distribution.detach(), SinglePathObjective(here, batch)
        policy.parameters += 0.1 * np.random.default_rng(0).normal(size=len(policy.parameters))
        new = parts(tensor(policy.parameters))
        metrics = policy_metrics(policy, batch, ours, objective)

        kl = oracle_kl(old, new)
        ratio = np.exp(
            oracle_log_prob(new, batch.actions).numpy()
            - oracle_log_prob(old, batch.actions).numpy()
        )
        expected = {
            "policy/kl": float(kl.mean()),
            "policy/kl_max": float(kl.max()),
            "policy/entropy": float(oracle_entropy(new).mean()),
            "policy/surrogate_after": (ratio * batch.advantages).mean(),
        }
        for key, value in expected.items():
            assert metrics[key] == pytest.approx(value, rel=1e-9), key
        # Standardised advantages have mean zero.
        assert metrics["policy/surrogate_before"] == pytest.approx(0.0, abs=1e-12)
        if isinstance(space, spaces.Box):
            std = torch.stack([part.stddev.mean() for part in new]).mean()
            assert metrics["policy/std_mean"] == pytest.approx(float(std))
        else:
            assert "policy/std_mean" not in metrics
