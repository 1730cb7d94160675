"""The gain of one half's direction on the other half."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.algos.conftest import BUILD
from tests.support.small import BOX, explicit_fisher, make_batch, make_policy
from trpo_cli.algos.held_out import EVERY, HELD_OUT, IN_SAMPLE, halves
from trpo_cli.algos.objectives import objective_of
from trpo_cli.data.records import BranchBatch

EXACT: dict[str, Any] = {
    "damping": 0.1,
    "fisher_fraction": 1.0,
    "cg_iterations": 200,
    "cg_tolerance": 1e-28,
}
both_rules = pytest.mark.parametrize("rule", ["npg", "trpo"])


def gradient(policy, batch):
    return objective_of(policy, policy.linearize(batch.observations), batch).gradient


def measured(rule, policy, batch, **settings):
    return BUILD[rule](policy, **settings).update(policy, batch, np.random.default_rng(0), 1.0)


class TestGains:
    @both_rules
    def test_are_those_of_the_explicit_matrices(self, rule):
        policy = make_policy()
        batch = make_batch(policy, size=40)
        gradients, steps = [], []
        for rows in (slice(0, 20), slice(20, 40)):
            seen = {name: getattr(batch, name)[rows] for name in ("observations", "actions")}
            half = replace(batch, advantages=batch.advantages[rows], **seen)
            fisher = explicit_fisher(policy, BOX, half.observations)
            fisher += 0.1 * np.eye(len(fisher))
            g = gradient(policy, half)
            x = np.linalg.solve(fisher, g)
            gradients.append(g)
            steps.append(np.sqrt(2.0 * 0.01 / (x @ fisher @ x)) * x)
        found = measured(rule, policy, batch, max_kl=0.01, **EXACT)
        (g, h), (s, t) = gradients, steps
        assert found[IN_SAMPLE] == pytest.approx(0.5 * (g @ s + h @ t), rel=1e-6)
        assert found[HELD_OUT] == pytest.approx(0.5 * (h @ s + g @ t), rel=1e-6)

    def test_of_noise_are_nothing_but_in_sample(self):
        """Random advantages, 100 batches: nothing is to be gained. Within three standard errors."""
        policy = make_policy()
        start, rows = policy.parameters.copy(), []
        for seed in range(100):
            found = measured("npg", policy, make_batch(policy, seed=seed))
            rows.append((found[IN_SAMPLE], found[HELD_OUT]))
            policy.parameters[:] = start
        in_sample, held_out = np.array(rows).T
        error = held_out.std() / 10.0
        assert abs(held_out.mean()) < 3.0 * error
        assert in_sample.min() > 0.0 and in_sample.mean() > 30.0 * error

    def test_a_fixed_step_is_its_own_length(self):
        policy = make_policy()
        batch, start = make_batch(policy), policy.parameters.copy()
        gains = []
        for step in (0.1, 0.2):
            found = measured("npg", policy, batch, step_rule="fixed", step_size=step)
            gains.append((found[IN_SAMPLE], found[HELD_OUT]))
            policy.parameters[:] = start
        np.testing.assert_allclose(gains[1], 2.0 * np.array(gains[0]))

    @both_rules
    def test_without_a_direction_there_are_none(self, rule):
        """No gradient, or too few samples."""
        policy = make_policy()
        nothing = replace(make_batch(policy), advantages=np.zeros(64))
        for batch in (nothing, make_batch(policy, size=1)):
            found = measured(rule, policy, batch)
            assert found[IN_SAMPLE] is found[HELD_OUT] is None


class TestMeasuring:
    @both_rules
    def test_is_every_tenth_update_and_goes_on(self, rule):
        policy = make_policy()
        batch = make_batch(policy)
        first, second = BUILD[rule](policy), BUILD[rule](policy)

        def updates(algorithm, count):
            rows = [
                algorithm.update(policy, batch, np.random.default_rng(0), 1.0) for _ in range(count)
            ]
            return [row[HELD_OUT] is not None for row in rows]

        assert updates(first, EVERY - 2) == [True] + [False] * (EVERY - 3)
        second.load_state(first.state())
        assert updates(second, 4) == [False, False, True, False]
        second.load_state({})  # of an earlier version: it goes on counting
        assert updates(second, 1) == [False]

    @both_rules
    def test_changes_nothing(self, rule):
        """The same step, and the same numbers drawn, as an update that does not measure."""
        ended = []
        for updates in (0, 1):
            policy, generator = make_policy(dtype=np.float32), np.random.default_rng(7)
            algorithm = BUILD[rule](policy)
            algorithm.load_state({"updates": np.array([updates])})
            algorithm.update(policy, make_batch(policy), generator, 1.0)
            ended.append((policy.parameters.tobytes(), generator.bit_generator.state))
        assert ended[0] == ended[1]


class TestHalves:
    @pytest.mark.parametrize("weight", [None, 0.3])
    def test_gradients_are_those_of_the_whole_on_average(self, weight):
        """Every objective is a mean over samples, over states, or a sum of both."""
        policy, rng = make_policy(), np.random.default_rng(2)
        batch, states, k = make_batch(policy, size=30), 8, 3
        actions = rng.normal(size=(states * k, 2))
        branches = BranchBatch(
            rng.normal(size=(states, 3)),
            actions,
            rng.normal(size=(states, k)),
            np.zeros((states, k)),
            weight,
        )
        for whole in (batch, replace(batch, branches=branches)):
            parts = halves(whole)
            assert [part.size for part in parts] == [15, 15]
            found = 0.5 * sum(gradient(policy, part) for part in parts)
            np.testing.assert_allclose(found, gradient(policy, whole), atol=1e-12)
