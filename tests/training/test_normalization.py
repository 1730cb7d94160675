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
from trpo_cli.models.normalizer import Normalizer
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


def normalizer_of(training: Training) -> Normalizer:
    normalizer = training.policy.normalizer
    assert isinstance(normalizer, Normalizer)
    return normalizer


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

    def test_statistics_that_alone_go_beyond_the_bound_are_taken_in_over_several_iterations(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """First statistics behind a policy that says much."""
        policy = MLPPolicyConfig(hidden_sizes=[8], output_gain=1.0)
        training = Training(config(policy=policy))
        seen, rows, kls = spied(training, monkeypatch), [], []
        normalizer = normalizer_of(training)
        ways = []
        for _ in range(8):
            rows.append(training.iterate())
            (parameters, before, observations), mine = seen[-1], training.policy
            old = distribution(mine, parameters, before, observations)
            kls.append(float(mean_kl(old, mine.distribution(mine.normalize(observations)))))
            ways.append(float(np.abs(normalizer.acting()[0] - normalizer.mean).max()))
        training.close()
        held = [row["policy/normalizer_kl"] for row in rows]
        assert 0.1 < ways[-1] < ways[0]
        assert all(0.0 < kl <= MAX_KL for kl in held)
        assert held[0] <= 0.5 * MAX_KL
        assert all(0.0 < kl <= MAX_KL for kl in kls)
        assert sum(row["trust_region/accepted"] for row in rows) > 4


def outspoken() -> tuple[Any, Normalizer, np.ndarray]:
    """A policy that says much, its normaliser before any data, and 64 observations."""
    training = Training(config(policy=MLPPolicyConfig(hidden_sizes=[8], output_gain=1.0)))
    training.close()
    observations = np.random.default_rng(0).normal(2.0, 3.0, (64, 11)).astype(np.float32)
    return training.policy, normalizer_of(training), observations


class TestRenormalize:
    def test_the_kl_is_that_of_before_to_after(self) -> None:
        """First data behind a policy that says much."""
        policy, _, observations = outspoken()
        old = policy.distribution(policy.normalize(observations))
        found = renormalize(policy, observations, 8, WHOLE, whole=True)
        new = policy.distribution(policy.normalize(observations))
        expected = float(mean_kl(old, new))
        assert found.metrics == {"policy/normalizer_kl": pytest.approx(expected)}
        assert expected > 0.01
        assert found.acted is not None and float(mean_kl(found.acted, new)) == expected

    @pytest.mark.parametrize("whole", [True, False])
    @pytest.mark.parametrize("bound", [1e-3, 1e-9])
    def test_a_bound_holds_the_statistics(self, whole: bool, bound: float) -> None:
        """Part of the way, and with room for an update; nearer with the next batch."""
        policy, normalizer, observations = outspoken()
        kls, ways = [], []
        for _ in range(3):
            old = policy.distribution(policy.normalize(observations)).detach()
            renormalize(policy, observations, 8, WHOLE, whole=whole, bound=bound)
            kls.append(float(mean_kl(old, policy.distribution(policy.normalize(observations)))))
            ways.append(float(np.abs(normalizer.acting()[0] - 2.0).max()))
        assert normalizer.mean == pytest.approx(observations.mean(0, dtype=np.float64))
        assert all(bound / 16 < kl <= bound / 2 for kl in kls)
        assert ways[2] < ways[1] < ways[0]

    def test_the_statistics_are_reached_in_the_end(self) -> None:
        """Distances add up as roots of KLs do: a way of KL d takes about sqrt(d / bound) times the
        reciprocal of the share of a step, which is above 1/4."""
        policy, normalizer, observations = outspoken()
        before = policy.distribution(policy.normalize(observations)).detach()
        taken = 0
        while taken == 0 or "shift" in normalizer.state():
            renormalize(policy, observations, 8, WHOLE, whole=True, bound=0.01)
            taken += 1
            assert taken < 1000
        way = float(mean_kl(before, policy.distribution(policy.normalize(observations))))
        assert 1 < taken < 4.0 * np.sqrt(way / 0.01)

    def test_what_is_held_is_saved(self) -> None:
        policy, normalizer, observations = outspoken()
        renormalize(policy, observations, 8, WHOLE, whole=True, bound=1e-3)
        other = copy.deepcopy(normalizer)
        other.update(observations)
        assert not np.array_equal(other(observations), normalizer(observations))
        other.load_state(normalizer.state())
        np.testing.assert_array_equal(other(observations), normalizer(observations))
        normalizer.update(observations)
        assert "shift" not in normalizer.state()

    def test_nothing_is_said_without_a_normaliser(self) -> None:
        policy = MLPPolicyConfig(hidden_sizes=[8], normalize_observations=False)
        rows, _ = rows_of(config(policy=policy), iterations=1)
        assert "policy/normalizer_kl" not in rows[0]
