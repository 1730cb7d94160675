from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.algos.conftest import BUILD
from tests.support.small import make_batch, make_policy
from trpo_cli.algos.objectives import SinglePathObjective


def gradient_of(policy, batch, entropy_coef=0.0):
    here = policy.linearize(batch.observations)
    return SinglePathObjective(here, batch, entropy_coef).gradient.copy()


class TestVPG:
    def test_sgd_is_the_gradient_times_the_rate(self, update):
        policy = make_policy()
        batch = make_batch(policy)
        gradient = gradient_of(policy, batch)
        result = update("vpg", policy, batch, optimizer="sgd", learning_rate=0.01)
        np.testing.assert_allclose(result.step, 0.01 * gradient, rtol=1e-9)

    def test_adam_is_torch_adam_over_several_batches(self):
        policy = make_policy()
        algorithm = BUILD["vpg"](policy, learning_rate=0.01)
        theirs = torch.tensor(policy.parameters, requires_grad=True)
        oracle = torch.optim.Adam([theirs], lr=0.01)
        for seed in range(5):
            batch = make_batch(policy, seed=seed)
            theirs.grad = -torch.tensor(gradient_of(policy, batch))
            algorithm.update(policy, batch, np.random.default_rng(0), 1.0)
            oracle.step()
            np.testing.assert_allclose(policy.parameters, theirs.detach().numpy(), rtol=1e-9)

    def test_clips_the_gradient(self, update):
        policy = make_policy()
        batch = make_batch(policy)
        assert np.linalg.norm(gradient_of(policy, batch)) > 0.01
        result = update(
            "vpg", policy, batch, optimizer="sgd", learning_rate=0.1, max_grad_norm=0.01
        )
        assert np.linalg.norm(result.step) == pytest.approx(0.1 * 0.01)

    def test_the_schedule_scales_the_step(self):
        lengths = []
        for remaining in (1.0, 0.5):
            policy = make_policy()
            before, batch = policy.parameters.copy(), make_batch(policy)
            algorithm = BUILD["vpg"](policy, optimizer="sgd", schedule="linear")
            algorithm.update(policy, batch, np.random.default_rng(0), remaining)
            lengths.append(np.linalg.norm(policy.parameters - before))
        assert lengths[1] == pytest.approx(0.5 * lengths[0])

    def test_the_entropy_bonus_raises_the_entropy(self, update):
        policy = make_policy()
        batch = make_batch(policy)
        batch = replace(batch, advantages=0.0 * batch.advantages)
        before = policy.distribution(batch.observations).entropy().mean()
        result = update("vpg", policy, batch, entropy_coef=0.1)
        assert result["policy/entropy"] > before
