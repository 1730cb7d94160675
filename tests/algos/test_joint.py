"""One network for pi and V: the step is autograd's on the whole loss."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from tests.support.small import oracle_entropy, oracle_kl, oracle_log_prob, oracle_parts
from trpo_cli.algos.dual import Dual, DualConfig
from trpo_cli.algos.objectives import SinglePathObjective
from trpo_cli.algos.ppo import PPO, PPOConfig
from trpo_cli.algos.ppo_penalty import PPOPenalty, PPOPenaltyConfig
from trpo_cli.algos.vpg import VPG, VPGConfig
from trpo_cli.data.records import Batch
from trpo_cli.models.conv import ConvNet
from trpo_cli.models.heads import make_head
from trpo_cli.models.normalizer import IdentityNormalizer
from trpo_cli.models.policy import Policy

SPACE, SIZE, COEF, BONUS = spaces.Discrete(3), 40, 0.7, 0.3


def make_policy(device: str = "cpu") -> Policy:
    network = ConvNet((1, 6, 5), [(2, 3, 2)], 3, 4, "tanh", device)
    flat = torch.zeros(network.num_parameters)
    network.initialize(flat, np.random.default_rng(0), output_gain=1.0)
    head = make_head(SPACE, "rescale")
    return Policy(network, head, IdentityNormalizer(), network.to_device(flat))


def make_batch(policy: Policy) -> Batch:
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (SIZE, 1, 6, 5), dtype=np.uint8)
    actions = policy.act(x, policy.noise(generator, (SIZE,)))
    advantages, returns = generator.standard_normal((2, SIZE)).astype(np.float32)
    return Batch(
        observations=policy.to_device(x),
        actions=policy.to_device(actions),
        advantages=policy.to_device(advantages),
        features=x,
        returns=returns,
        values=0.0 * returns,
        rewards_to_go=returns,
        targets=policy.to_device(returns),
    )


def oracle(x: torch.Tensor) -> Any:
    """theta -> the distributions and V at images x, by torch's modules in double precision."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 4)
    ).double()
    named = dict(net.named_parameters())

    def outputs(theta: torch.Tensor) -> Any:
        pieces = theta.split([p.numel() for p in named.values()])
        values = {k: q.view(p.shape) for (k, p), q in zip(named.items(), pieces, strict=True)}
        out = torch.func.functional_call(net, values, (x.double() / 255.0,))
        return oracle_parts(SPACE, out[:, :3], torch.zeros(0)), out[:, 3]

    return outputs


class TestGradient:
    def test_is_that_of_the_whole_objective(self):
        """A log pi + c H - c_v (V - R)^2, at the policy that acted."""
        policy = make_policy()
        batch = make_batch(policy)
        theta = policy.parameters.double().requires_grad_()
        parts, values = oracle(batch.observations)(theta)
        log_prob = oracle_log_prob(parts, batch.actions)
        objective = (
            (batch.advantages * log_prob).mean()
            + BONUS * oracle_entropy(parts).mean()
            - COEF * ((values - batch.targets) ** 2).mean()
        )
        (expected,) = torch.autograd.grad(objective, theta)
        found = SinglePathObjective(
            policy.linearize(batch.observations), batch, BONUS, COEF
        ).gradient
        np.testing.assert_allclose(found, expected.float(), atol=2e-6)
        without = SinglePathObjective(policy.linearize(batch.observations), batch, BONUS).gradient
        assert abs(without - found).max() > 0.1

    def test_vpg_follows_it(self):
        policy = make_policy()
        batch = make_batch(policy)
        gradient = SinglePathObjective(
            policy.linearize(batch.observations), batch, BONUS, COEF
        ).gradient
        before, gradient = policy.parameters.clone(), gradient.clone()
        config = VPGConfig(optimizer="sgd", learning_rate=0.1, entropy_coef=BONUS)
        VPG(config, policy, COEF).update(policy, batch, np.random.default_rng(0), 1.0)
        torch.testing.assert_close(policy.parameters, before + 0.1 * gradient)


class TestPPO:
    @pytest.mark.parametrize("minibatch_size", [None, 15])
    def test_is_the_papers_loop(self, minibatch_size):
        """Equation 9 of the paper by autograd and torch.optim.Adam, minibatch by minibatch."""
        config = PPOConfig(
            clip_range=0.05,
            epochs=3,
            minibatch_size=minibatch_size,
            learning_rate=0.02,
            schedule="constant",
            entropy_coef=BONUS,
            max_grad_norm=0.4,
        )
        policy = make_policy()
        batch = make_batch(policy)
        theta = policy.parameters.double().requires_grad_()
        optimizer = torch.optim.Adam([theta], lr=0.02, eps=1e-5)
        parts, _ = oracle(batch.observations)(theta)
        old = oracle_log_prob(parts, batch.actions).detach()
        generator, clipped = np.random.default_rng(5), 0
        for _ in range(config.epochs):
            order = generator.permutation(SIZE)
            for start in range(0, SIZE, minibatch_size or SIZE):
                rows = order[start : start + (minibatch_size or SIZE)]
                parts, values = oracle(batch.observations[rows])(theta)
                ratio = torch.exp(oracle_log_prob(parts, batch.actions[rows]) - old[rows])
                advantages = batch.advantages[rows]
                limited = ratio.clamp(0.95, 1.05)
                clipped += int((ratio != limited).sum())
                loss = (
                    -torch.minimum(ratio * advantages, limited * advantages).mean()
                    - BONUS * oracle_entropy(parts).mean()
                    + COEF * ((values - batch.targets[rows]) ** 2).mean()
                )
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_([theta], 0.4)
                optimizer.step()
        before = policy.parameters.clone()
        PPO(config, policy, COEF).update(policy, batch, np.random.default_rng(5), 1.0)
        # Adam divides rounding errors of a float32 gradient by their own size where it is tiny.
        np.testing.assert_allclose(policy.parameters, theta.detach().float(), atol=1e-4)
        assert abs(policy.parameters - before).max() > 0.03
        assert clipped > 5


class TestPenalties:
    @pytest.mark.parametrize("rule", ["ppo_penalty", "dual"])
    def test_the_loss_has_all_four_terms(self, rule):
        """-r A + c KL(old || new) - c_H H + c_V (V - R)^2 by autograd, minibatch by minibatch."""
        common: dict[str, Any] = {
            "epochs": 3,
            "minibatch_size": 15,
            "learning_rate": 0.02,
            "schedule": "constant",
            "entropy_coef": BONUS,
            "max_grad_norm": None,
        }
        penalty = 2.0
        policy = make_policy()
        batch = make_batch(policy)
        theta = policy.parameters.double().requires_grad_()
        start, optimizer = theta.detach().clone(), torch.optim.Adam([theta], lr=0.02, eps=1e-5)
        generator = np.random.default_rng(5)
        for _ in range(common["epochs"]):
            order = generator.permutation(SIZE)
            for first in range(0, SIZE, 15):
                rows = order[first : first + 15]
                outputs = oracle(batch.observations[rows])
                (old, _), (new, values) = outputs(start), outputs(theta)
                actions = batch.actions[rows]
                ratio = torch.exp(oracle_log_prob(new, actions) - oracle_log_prob(old, actions))
                loss = (
                    -(ratio * batch.advantages[rows]).mean()
                    + penalty * oracle_kl(old, new).mean()
                    - BONUS * oracle_entropy(new).mean()
                    + COEF * ((values - batch.targets[rows]) ** 2).mean()
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        before = policy.parameters.clone()
        algorithm: Any = (
            PPOPenalty(PPOPenaltyConfig(kl_coef=penalty, **common), policy, COEF)
            if rule == "ppo_penalty"
            else Dual(DualConfig(multiplier=penalty, **common), policy, COEF)
        )
        algorithm.update(policy, batch, np.random.default_rng(5), 1.0)
        np.testing.assert_allclose(policy.parameters, theta.detach().float(), atol=1e-4)
        assert abs(policy.parameters - before).max() > 0.03
