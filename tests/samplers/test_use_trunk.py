"""The trunk's own samples beside the vine's branches: `sampler.use_trunk`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.samplers.test_vine import ACTIONS, REWARDS, STATES, P, collected, markov, training
from tests.samplers.test_vine import probabilities as policy_table
from tests.support.running import untimed
from tests.support.small import DISCRETE, estimate, make_batch, make_policy, oracle_policy, tensor
from trpo_cli.algos.objectives import SinglePathObjective, objective_of
from trpo_cli.algos.trpo import TRPO, TRPOConfig
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.data.records import Batch, BranchBatch
from trpo_cli.errors import UserError
from trpo_cli.models.policy import Policy

SMALL = ("sampler.num_envs=4", "sampler.steps_per_env=32", "sampler.rollout_states=8")
KINDS = {"true": "algo=trpo", "false": "algo=npg"}


def branched(policy: Policy, weight: float | None) -> Batch:
    """A batch with three drawn actions in each of five other states."""
    random = np.random.default_rng(6)
    branches = BranchBatch(
        policy.to_device(random.normal(size=(5, 3))),
        policy.to_device(random.integers(3, size=(15, 1))),
        policy.to_device(random.normal(size=(5, 3))),
        policy.to_device(0.3 * random.normal(size=(5, 3))),
        weight,
    )
    return replace(make_batch(policy), branches=branches)


def log_probs(policy: Policy, observations: Any, actions: Any) -> Any:
    """theta -> log pi_theta(a|s), differentiable."""
    at = oracle_policy(policy, DISCRETE, observations)
    return lambda theta: at(theta)[0].log_prob(tensor(actions)[:, 0])


class TestObjective:
    def test_value_and_gradient_by_autograd(self) -> None:
        """w mean(r A) + (1 - w) mean of sum_k w_k Q_k / sum_k w_k, at theta_old and elsewhere."""
        policy, w = make_policy(DISCRETE), 0.3
        batch = branched(policy, w)
        branches = batch.branches
        assert branches is not None and branches.log_proposal is not None
        objective = objective_of(policy, policy.linearize(batch.observations), batch)

        on_trunk = log_probs(policy, batch.observations, batch.actions)
        tripled = np.repeat(branches.observations, 3, axis=0)
        on_branches = log_probs(policy, tripled, branches.actions)
        theta = tensor(policy.parameters)
        old = on_trunk(theta)

        def wanted(theta: torch.Tensor) -> torch.Tensor:
            single = ((on_trunk(theta) - old).exp() * tensor(batch.advantages)).mean()
            ratios = (on_branches(theta).view(5, 3) - tensor(branches.log_proposal)).exp()
            several = (ratios * tensor(branches.values)).sum(1) / ratios.sum(1)
            return w * single + (1.0 - w) * several.mean()

        here = theta.clone().requires_grad_()
        value = wanted(here)
        (gradient,) = torch.autograd.grad(value, here)
        assert objective.before == pytest.approx(value.item(), rel=1e-12)
        np.testing.assert_allclose(objective.gradient, gradient.numpy(), atol=1e-14)
        policy.parameters[:] += 0.1 * np.random.default_rng(7).normal(size=len(theta))
        there = objective.at(policy.distribution(batch.observations))
        assert there == pytest.approx(wanted(tensor(policy.parameters)).item(), rel=1e-12)
        assert objective.metrics()["vine/trunk_weight"] == w

    def test_bonuses_are_whole(self) -> None:
        """They are those of a single path, whatever the weight."""
        policy = make_policy(DISCRETE)
        batch = branched(policy, 0.3)
        here = policy.linearize(batch.observations)
        bonus = SinglePathObjective(here, batch, 0.2).gradient
        bonus -= SinglePathObjective(here, batch).gradient
        found = objective_of(policy, here, batch, 0.2).gradient
        found -= objective_of(policy, here, batch).gradient
        np.testing.assert_allclose(found, bonus, atol=1e-14)

    def test_a_weight_of_one_is_a_single_path(self) -> None:
        """TRPO's step too; and without a weight the trunk's advantages are not looked at."""
        rule = TRPO(TRPOConfig(max_kl=1e-3))

        def moved(weight: float | None, advantages: float = 1.0, single: bool = False) -> Any:
            policy = make_policy(DISCRETE)
            batch = branched(policy, weight)
            batch = replace(batch, advantages=advantages * batch.advantages)
            batch = replace(batch, branches=None) if single else batch
            rule.update(policy, batch, np.random.default_rng(8), 1.0)
            return policy.parameters

        np.testing.assert_array_equal(moved(1.0), moved(None, single=True))
        np.testing.assert_array_equal(moved(None), moved(None, -5.0))
        assert not np.array_equal(moved(0.5), moved(0.5, -5.0))


class TestUnbiased:
    @pytest.mark.parametrize(
        ("proposal", "share"),
        [pytest.param("all", 1.0, marks=pytest.mark.slow), ("policy", 3.0 / 4.0)],
    )
    def test_the_expected_gradient_is_the_exact_one(self, proposal: str, share: float) -> None:
        """Of mean over the trunk's states of sum_a pi(a|s) Q(s, a), with the true V as critic,
        within three standard errors; differences between K drawn actions show (K - 1) / K of it.
        Random numbers are not shared, so that neither term has nearly all of the weight."""
        made = markov(
            "sampler.num_envs=16",
            "sampler.steps_per_env=8",
            f"sampler.proposal={proposal}",
            "sampler.common_random_numbers=false",
            "advantage.standardize=false",
        )
        policy, config = made.policy, made.config
        table = policy_table(policy)
        chain, rewards = np.einsum("sa,sat->st", table, P), (table * REWARDS).sum(1)
        v = np.linalg.solve(np.eye(STATES) - 0.9 * chain, rewards)
        q = REWARDS + 0.9 * P @ v
        made.value.predict = lambda inputs: v[inputs.argmax(1)].astype(np.float32)  # type: ignore[method-assign]

        # d/dtheta sum_a pi(a|s) Q(s, a); single precision, and h^2 / 6 is far below the noise.
        slopes = np.empty((STATES, len(policy.parameters)))
        for j in range(len(policy.parameters)):
            saved, ends = policy.parameters[j], []
            for shift in (1e-2, -1e-2):
                policy.parameters[j] = saved + shift
                ends.append((policy_table(policy) * q).sum(1))
            policy.parameters[j] = saved
            slopes[:, j] = (ends[0] - ends[1]) / 2e-2

        errors, exact, weights = [], [], []
        for _ in range(60):
            record = collected(made)
            batch = estimate(record, policy, made.value, 0.9, config.advantage)
            objective = objective_of(policy, policy.linearize(batch.observations), batch)
            w = objective.metrics()["vine/trunk_weight"]
            seen: Any = record.flat_observations
            exact.append(slopes[seen.argmax(1)].mean(axis=0))
            errors.append(objective.gradient / (w + (1.0 - w) * share) - exact[-1])
            weights.append(w)
        made.close()
        deviation = np.std(errors, axis=0, ddof=1) / np.sqrt(len(errors))
        assert 0.2 < np.mean(weights) < 0.8 and config.sampler.actions == 4 and ACTIONS == 2
        assert (np.abs(np.mean(exact, axis=0)) > 9.0 * deviation).any()  # a third would be seen
        assert (np.abs(np.mean(errors, axis=0)) < 3.0 * deviation).all()


class TestWeight:
    @pytest.mark.parametrize("standardize", ["true", "false"])
    def test_is_of_the_deviations_before_standardising(self, standardize: str) -> None:
        """N = 128 samples, 8 states with 4 actions: c = n / sigma^p."""
        made = training("algo=trpo", "env=Hopper-v4", *SMALL, "sampler.horizon=3")
        plain, asked = (
            config_of(f"advantage.standardize={s}").advantage for s in ("false", standardize)
        )
        record = collected(made)
        batches = [estimate(record, made.policy, made.value, 0.99, c) for c in (plain, asked)]
        sigma_a, found = float(batches[0].advantages.std()), batches[1].branches
        made.close()
        assert found is not None and record.branches is not None
        sigma_q = float(np.sqrt(np.mean(record.branches.values.var(axis=1))))
        power = {"true": 1, "false": 2}[standardize]
        trunk, branches = 128 / sigma_a**power, 8 * 3 / sigma_q**power
        assert found.trunk_weight == pytest.approx(trunk / (trunk + branches), rel=1e-5)

    def test_where_all_actions_are_worth_the_same(self) -> None:
        """CartPole pays 1 a step, and no rollout of one step shows a difference."""
        made = training(
            "algo=vpg", "env=CartPole-v1", *SMALL, "sampler.horizon=1", "sampler.bootstrap=false"
        )
        row = made.iterate()
        made.close()
        assert row["vine/trunk_weight"] == 1.0 and row["policy/kl"] > 0.0


class TestRuns:
    @pytest.mark.parametrize("rule", ["vpg", "npg", "trpo"])
    def test_every_rule(self, rule: str) -> None:
        made = training(f"algo={rule}", "env=Hopper-v4", *SMALL)
        rows = [made.iterate() for _ in range(2)]
        made.close()
        assert all(0.0 < row["vine/trunk_weight"] < 1.0 for row in rows)
        assert all(row["policy/surrogate_after"] > row["policy/surrogate_before"] for row in rows)

    @pytest.mark.parametrize("use", ["true", "false"])
    def test_goes_on_identically(self, use: str) -> None:
        words = ("env=Hopper-v4", KINDS[use], f"sampler.use_trunk={use}", *SMALL)
        first, second = training(*words), training(*words)
        first.iterate()
        arrays, state = first.state()
        arrays = {name: np.array(array) for name, array in arrays.items()}
        assert second.load_state(arrays, state) == ""
        for _ in range(2):
            rows = [untimed(made.iterate()) for made in (first, second)]
            assert rows[0] == rows[1]
            assert ("vine/trunk_weight" in rows[0]) == (use == "true")

    def test_another_estimator_for_the_trunk(self) -> None:
        """Without a value function, and with weights of gamma^t that count from different steps."""
        made = training(
            "algo=trpo", "env=CartPole-v1", *SMALL, "value=none", "sampler.bootstrap=false",
            "advantage=total_return", "advantage.discount_states=true", "sampler.choose=stride",
        )  # fmt: skip
        record = collected(made)
        batch = estimate(record, made.policy, made.value, 0.5, made.config.advantage)
        made.close()
        assert record.branches is not None and batch.branches is not None
        t = record.branches.states // 4  # no episode of CartPole is over before its eighth step
        early = t < 8
        weighed = record.branches.values * 0.5 ** t[:, None]
        np.testing.assert_allclose(batch.branches.values[early], weighed[early], rtol=1e-5)
        assert early.any()


class TestSettings:
    @pytest.mark.parametrize("task", ["hopper", "swimmer", "walker2d"])
    def test_the_papers_scheme_has_none(self, task: str) -> None:
        sampler: Any = config_of(f"+experiment=paper_{task}_vine").sampler
        assert sampler.use_trunk is False

    def test_no_value_function(self) -> None:
        vine = ("sampler=vine", "sampler.bootstrap=false", "value=none")
        with pytest.raises(UserError, match=r"value=none has none; give sampler\.use_trunk=false"):
            config_of(*vine)
        config_of(*vine, "advantage=reward_to_go")
        config_of(*vine, "sampler.use_trunk=false")
