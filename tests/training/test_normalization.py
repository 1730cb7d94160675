"""Nothing but the update moves the policy: neither do the normaliser's statistics."""

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
CLIP = 1.02
"""What the clip does to states beyond it may add as much; of default runs 0.7% were the most."""


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
        """Of the one that acted. The first batch's statistics move a fresh policy; with equal
        deviations the mean KL is a squared distance, so that the roots add up at the most."""
        training = Training(config())
        seen, kls, rows = spied(training, monkeypatch), [], []
        for _ in range(8):
            rows.append(training.iterate())
            (parameters, normalizer, observations), policy = seen[-1], training.policy
            old = distribution(policy, parameters, normalizer, observations)
            new = policy.distribution(policy.normalize(observations))
            kls.append(float(mean_kl(old, new)))
        training.close()
        assert all(0.0 < row["policy/kl"] <= MAX_KL for row in rows)
        for row, kl in zip(rows[1:], kls[1:], strict=True):
            assert row["policy/normalizer_kl"] < 1e-5
            assert kl == pytest.approx(row["policy/kl"], rel=CLIP - 1.0)
        moved, updated = rows[0]["policy/normalizer_kl"], rows[0]["policy/kl"]
        assert 0.0 < moved < 0.2 * MAX_KL  # 5e-4 to 2e-3 on Hopper, HalfCheetah, Walker2d and Ant
        assert kls[0] <= CLIP * (updated**0.5 + moved**0.5) ** 2


class TestRenormalize:
    def test_the_value_function_does_not_jump(self) -> None:
        training = Training(config())
        training.iterate()
        policy, value = training.policy, training.value
        observations = np.random.default_rng(0).normal(size=(512, 11)).astype(np.float32)
        before = value.predict(policy.normalize(observations))
        inputs = policy.normalize(observations)
        renormalize(policy, value, 0.5 + observations, WHOLE)
        training.close()
        inside = (abs(inputs) < 10.0).all(axis=1)  # not where the clip held
        assert abs(policy.normalize(observations) - inputs).max() > 0.1
        after = value.predict(policy.normalize(observations))
        np.testing.assert_allclose(after[inside], before[inside], atol=1e-4)

    def test_the_kl_is_that_of_before_to_after(self) -> None:
        """First data, which nothing carries over, behind a policy that says much."""
        training = Training(config(policy=MLPPolicyConfig(hidden_sizes=[8], output_gain=1.0)))
        policy = training.policy
        observations = np.random.default_rng(0).normal(2.0, 3.0, (64, 11)).astype(np.float32)
        old = policy.distribution(policy.normalize(observations))
        found = renormalize(policy, training.value, observations, WHOLE)
        training.close()
        new = policy.distribution(policy.normalize(observations))
        assert found == {"policy/normalizer_kl": pytest.approx(float(mean_kl(old, new)))}
        assert found["policy/normalizer_kl"] > 0.01

    def test_nothing_is_said_without_a_normaliser(self) -> None:
        policy = MLPPolicyConfig(hidden_sizes=[8], normalize_observations=False)
        rows, _ = rows_of(config(policy=policy), iterations=1)
        assert "policy/normalizer_kl" not in rows[0]
