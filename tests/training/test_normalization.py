"""What moves a policy from batch to batch, the normaliser's statistics included, is bounded."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from tests.training.test_loop import make_config, rows_of
from trpo_cli.algos.trpo import TRPOConfig
from trpo_cli.distributed.split import WHOLE
from trpo_cli.maths.distributions import mean_kl
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.samplers.single_path import SinglePathConfig
from trpo_cli.training.normalization import renormalize
from trpo_cli.training.trainer import Training

MAX_KL = 0.01


def config(**settings: Any) -> Any:
    sampler = SinglePathConfig(num_envs=8, steps_per_env=64)
    defaults = {"algo": TRPOConfig(max_kl=MAX_KL), "sampler": sampler, "total_steps": 512 * 8}
    return make_config("Hopper-v4", **{**defaults, **settings})


def spied(training: Training, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the sampler collects from now on, and a copy of the policy that acted."""
    seen: list[Any] = []
    collect = training.sampler.collect

    def spy(policy: Any, *args: Any) -> Any:
        parameters, normalizer = copy.deepcopy((policy.parameters, policy.normalizer))
        trajectories = collect(policy, *args)
        seen.append((parameters, normalizer, trajectories.flat_observations))
        return trajectories

    monkeypatch.setattr(training.sampler, "collect", spy)
    return seen


def distribution(policy: Any, parameters: Any, normalizer: Any, observations: Any) -> Any:
    other = type(policy)(policy.network, policy.head, normalizer, parameters)
    return other.distribution(other.normalize(observations))


class TestTrustRegion:
    def test_the_policy_that_acts_next_is_within_the_bound(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of the one that acted, behind the statistics that each of them had."""
        training = Training(config())
        seen, kls, rows = spied(training, monkeypatch), [], []
        for _ in range(8):
            rows.append(training.iterate())
            (parameters, normalizer, observations), policy = seen[-1], training.policy
            old = distribution(policy, parameters, normalizer, observations)
            new = policy.distribution(policy.normalize(observations))
            kls.append(float(mean_kl(old, new)))
        training.close()
        assert all(row["policy/normalizer_kl"] > 0.0 for row in rows)
        assert sum(row["trust_region/accepted"] for row in rows) > 4
        for row, kl in zip(rows, kls, strict=True):
            assert kl == pytest.approx(row["policy/kl"], rel=1e-3)
            assert 0.0 < row["policy/kl"] <= MAX_KL

    def test_learns_where_the_statistics_alone_go_beyond_the_bound(self) -> None:
        """First statistics behind a policy that says much: only the update is bounded."""
        policy = MLPPolicyConfig(hidden_sizes=[8], output_gain=1.0)
        rows, _ = rows_of(config(policy=policy), iterations=1)
        assert rows[0]["policy/normalizer_kl"] > 2.0 * MAX_KL
        assert rows[0]["trust_region/accepted"] and 0.0 < rows[0]["policy/kl"] <= MAX_KL


class TestRenormalize:
    def test_the_kl_is_that_of_before_to_after(self) -> None:
        """First data behind a policy that says much."""
        training = Training(config(policy=MLPPolicyConfig(hidden_sizes=[8], output_gain=1.0)))
        policy = training.policy
        observations = np.random.default_rng(0).normal(2.0, 3.0, (64, 11)).astype(np.float32)
        old = policy.distribution(policy.normalize(observations))
        found = renormalize(policy, observations, 8, WHOLE, whole=True)
        training.close()
        new = policy.distribution(policy.normalize(observations))
        expected = float(mean_kl(old, new))
        assert found.metrics == {"policy/normalizer_kl": pytest.approx(expected)}
        assert expected > 0.01
        assert found.acted is not None and float(mean_kl(found.acted, new)) == expected

    def test_nothing_is_said_without_a_normaliser(self) -> None:
        policy = MLPPolicyConfig(hidden_sizes=[8], normalize_observations=False)
        rows, _ = rows_of(config(policy=policy), iterations=1)
        assert "policy/normalizer_kl" not in rows[0]
