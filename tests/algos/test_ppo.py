from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.algos.conftest import BUILD
from tests.support.small import (
    BOX,
    DISCRETE,
    FEATURES,
    make_batch,
    make_policy,
    oracle_entropy,
    oracle_log_prob,
    oracle_policy,
    tensor,
)
from trpo_cli.maths.surrogate import sampled_kl

FREE = {"max_grad_norm": None, "schedule": "constant"}


def reference(policy, space, batch, seed, config):
    """The paper's loop in torch: autograd, torch.optim.Adam, ratios against the whole batch's
    log-probabilities from before the first step."""
    theta = tensor(policy.parameters).requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=config["learning_rate"], eps=1e-5)
    old = oracle_log_prob(oracle_policy(policy, space, batch.observations)(theta), batch.actions)
    old, advantages = old.detach(), tensor(batch.advantages)
    generator = np.random.default_rng(seed)
    for _ in range(config["epochs"]):
        order = generator.permutation(len(old))
        for start in range(0, len(old), config["minibatch_size"]):
            rows = order[start : start + config["minibatch_size"]]
            parts = oracle_policy(policy, space, batch.observations[rows])(theta)
            ratio = torch.exp(oracle_log_prob(parts, batch.actions[rows]) - old[rows])
            clip = config["clip_range"]
            terms = torch.minimum(
                ratio * advantages[rows], ratio.clamp(1 - clip, 1 + clip) * advantages[rows]
            )
            loss = -terms.mean() - config["entropy_coef"] * oracle_entropy(parts).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([theta], config["max_grad_norm"])
            optimizer.step()
    return theta.detach().numpy()


class Rows:
    """Wraps `policy.linearize`; keeps which rows each call was given (their first feature)."""

    def __init__(self, policy, size):
        self.calls, self._linearize, self._size = [], policy.linearize, size

    def __call__(self, observations):
        if len(observations) < self._size:
            self.calls.append(observations[:, 0].astype(int).tolist())
        return self._linearize(observations)


class TestPPO:
    @pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["Box", "Discrete"])
    def test_is_the_papers_loop(self, update, space):
        config = {
            "epochs": 4,
            "minibatch_size": 24,  # does not divide the batch of 64
            "learning_rate": 0.02,
            "clip_range": 0.1,
            "entropy_coef": 0.01,
            "max_grad_norm": 0.3,
        }
        policy = make_policy(space)
        batch = make_batch(policy)
        expected = reference(policy, space, batch, 5, config)
        result = update("ppo", policy, batch, generator=5, **config)
        # torch's norm clipping adds 1e-6 to the norm; Adam passes relative errors on.
        np.testing.assert_allclose(result.after, expected, atol=1e-5)
        assert abs(result.step).max() > 0.05
        assert result["policy/clip_fraction"] > 0.2  # or the clip was not tested

    def test_one_full_epoch_without_clipping_is_vanilla(self, update):
        policy = make_policy()
        batch = make_batch(policy)
        ppo = BUILD["ppo"](
            policy, epochs=1, minibatch_size=None, clip_range=1e9, learning_rate=0.01, **FREE
        )
        other = make_policy()
        vpg = BUILD["vpg"](other, learning_rate=0.01)
        vpg._adam.eps = ppo._optimizer._adam.eps
        for seed in range(3):
            batch = make_batch(other, seed=seed)
            ppo.update(policy, batch, np.random.default_rng(0), 1.0)
            vpg.update(other, batch, np.random.default_rng(0), 1.0)
            # The permutation changes the order of sums.
            np.testing.assert_allclose(policy.parameters, other.parameters, rtol=1e-9)

    def test_minibatches_are_a_permutation_of_all_samples(self, monkeypatch):
        """Every row once an epoch, in a new order each time, from all environments and steps."""
        policy = make_policy()
        batch, size, chunk = make_batch(policy), 64, 16
        observations = np.zeros((size, FEATURES))
        observations[:, 0] = np.arange(size)
        rows = Rows(policy, size)
        monkeypatch.setattr(policy, "linearize", rows)
        algorithm = BUILD["ppo"](policy, epochs=2, minibatch_size=chunk)
        algorithm.update(
            policy, replace(batch, observations=observations), np.random.default_rng(0), 1.0
        )
        assert [len(call) for call in rows.calls] == [chunk] * 8
        epochs = [np.concatenate(calls).tolist() for calls in (rows.calls[:4], rows.calls[4:])]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert epochs[0] != epochs[1]
        for call in rows.calls:
            # 16 steps of 4 environments, step-major: neither one environment nor a window.
            assert len({row % 4 for row in call}) > 1
            assert max(call) - min(call) > chunk

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])  # compiled and not
    def test_target_kl_stops_at_the_first_minibatch_beyond_it(self, monkeypatch, dtype):
        """Before its step: as many steps are taken as minibatches came before it."""
        chunk, seen = 16, []

        def spied(*args):
            seen.append(sampled_kl(*args).mean())
            return sampled_kl(*args)

        def run(target_kl, dtype):
            policy = make_policy(dtype=dtype)
            settings = {"learning_rate": 0.01, "minibatch_size": chunk, "schedule": "constant"}
            ppo = BUILD["ppo"](policy, epochs=3, target_kl=target_kl, **settings)
            metrics = ppo.update(policy, make_batch(policy), np.random.default_rng(0), 1.0)
            return metrics["policy/epochs"], ppo._optimizer._adam.steps

        monkeypatch.setattr("trpo_cli.algos.epochs.sampled_kl", spied)
        assert run(1e9, np.float64) == (3.0, 12)
        kls = list(seen)
        assert len(kls) == 12 and kls[0] == 0.0
        records = [k for k in range(1, 12) if kls[k] > 1.1 * max(kls[:k])]
        assert records[0] == 1 and records[-1] > 4  # in a later epoch too
        for k in records:
            assert run((max(kls[:k]) + kls[k]) / 2, dtype) == (k * chunk / 64, k)
        assert run(None, dtype) == (3.0, 12)

    def test_a_minibatch_without_a_gradient_does_not_end_the_update(self, update):
        """In minibatches of one sample, every clipped one has a zero gradient."""
        policy = make_policy()
        batch = make_batch(policy)
        advantages = batch.advantages.copy()
        advantages[np.random.default_rng(0).permutation(64)[:3]] = 0.0  # those that come first
        result = update(
            "ppo", policy, replace(batch, advantages=advantages), minibatch_size=1, epochs=2
        )
        assert (result["policy/skipped"], result["policy/epochs"]) == ("", 2)
        assert result["policy/surrogate_after"] > result["policy/surrogate_before"]

    def test_the_entropy_bonus_raises_the_entropy(self, update):
        policy = make_policy()
        batch = make_batch(policy)
        batch = replace(batch, advantages=0.0 * batch.advantages)
        before = policy.distribution(batch.observations).entropy().mean()
        assert update("ppo", policy, batch, entropy_coef=0.1)["policy/entropy"] > before

    def test_the_schedule_scales_the_step(self):
        """Adam's first step is the rate in size, whatever the gradient."""
        for remaining in (1.0, 0.25):
            policy = make_policy()
            before, batch = policy.parameters.copy(), make_batch(policy)
            settings = {"epochs": 1, "minibatch_size": None, "learning_rate": 0.01}
            algorithm = BUILD["ppo"](policy, schedule="linear", **settings)
            algorithm.update(policy, batch, np.random.default_rng(0), remaining)
            longest = abs(policy.parameters - before).max()
            # |g| / (|g| + 1e-5) for the largest entries of the gradient.
            assert longest == pytest.approx(0.01 * remaining, rel=1e-3)
