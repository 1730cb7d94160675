"""Each rule's subproblem is solved exactly, and the guarantees hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from trpo_cli.lab import tabular
from trpo_cli.lab.divergences import kl
from trpo_cli.lab.improvement import (
    algorithm_1,
    conservative,
    max_kl_step,
    mean_kl_step,
    root,
    tilted,
    within_each_state,
)
from trpo_cli.lab.policy_iteration import improve
from trpo_cli.lab.tabular import MDP, random_mdp, random_policy

GUARANTEED = [conservative, algorithm_1]


def problem(seed: int, states: int = 8, actions: int = 3, discount: float = 0.8) -> tuple:
    mdp = random_mdp(states, actions, discount, seed)
    return mdp, random_policy(mdp, np.random.default_rng(seed))


def best_of(mdp: MDP, old: np.ndarray, objective, *constraints) -> float:
    """The largest objective of policies that scipy finds from the old one, by SLSQP over logits."""

    def policy(x: np.ndarray) -> np.ndarray:
        logits = x.reshape(old.shape)
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exp / exp.sum(axis=1, keepdims=True)

    limits = [{"type": "ineq", "fun": lambda x, c=c: c(policy(x))} for c in constraints]
    found = optimize.minimize(
        lambda x: -objective(policy(x)), np.log(old).ravel(), method="SLSQP", constraints=limits,
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    return -float(found.fun)


class TestSubproblems:
    @pytest.mark.parametrize("delta", [1e-8, 1e-3, 0.1, 2.0])
    def test_within_each_state_uses_all_of_the_divergence(self, delta: float) -> None:
        """And is stationary: c_a + lambda p_a / p'_a is one number nu per state."""
        mdp, old = problem(0)
        values = tabular.advantages(mdp, old)
        new = within_each_state(old, values, delta)[0]
        np.testing.assert_allclose(new.sum(axis=1), 1.0)
        np.testing.assert_allclose(kl(old, new), delta, rtol=1e-6)
        ratio = old / new
        # Two actions give lambda, and the third must agree.
        slope = (values[:, 0] - values[:, 1]) / (ratio[:, 1] - ratio[:, 0])
        third = (values[:, 0] - values[:, 2]) / (ratio[:, 2] - ratio[:, 0])
        np.testing.assert_allclose(slope, third, rtol=1e-5)
        assert (slope > 0.0).all()

    def test_two_actions_by_hand(self) -> None:
        """From one half each, the only policies with KL = d have p(1 - p) = e^-2d / 4."""
        new = within_each_state(np.array([[0.5, 0.5]]), np.array([[1.0, -3.0]]), 0.3)[0]
        p = 0.5 + 0.5 * math.sqrt(1.0 - math.exp(-0.6))
        np.testing.assert_allclose(new, [[p, 1.0 - p]], rtol=1e-12)

    def test_actions_that_are_alike_stay(self) -> None:
        old = np.array([[0.2, 0.8], [0.5, 0.5]])
        new = within_each_state(old, np.array([[1.0, 1.0], [0.0, 1.0]]), 0.1)[0]
        np.testing.assert_array_equal(new[0], old[0])
        assert new[1, 1] > 0.5

    @pytest.mark.parametrize("multiplier", [1e-6, 0.1, 10.0, 1e6])
    def test_tilted_solves_for_its_multiplier(self, multiplier: float) -> None:
        """lambda p_a / p'_a + c_a is the same for all actions, lambda given."""
        mdp, old = problem(1)
        values = tabular.advantages(mdp, old)
        new = tilted(old, values, multiplier)
        nu = values + multiplier * old / new
        # nu is found to rounding of its terms, of which the largest is that of the rarest action.
        np.testing.assert_allclose(nu, nu[:, :1].repeat(3, axis=1), rtol=1e-9)

    def test_mean_kl_step_is_the_best_that_scipy_finds(self) -> None:
        mdp, old = problem(2, states=4)
        weights = tabular.visitation(mdp, old) * (1.0 - mdp.discount)
        new = mean_kl_step(mdp, old, 0.05)
        assert weights @ kl(old, new) == pytest.approx(0.05, rel=1e-9)
        best = best_of(
            mdp, old, lambda p: tabular.surrogate(mdp, old, p),
            lambda p: 0.05 - weights @ kl(old, p),
        )  # fmt: skip
        assert tabular.surrogate(mdp, old, new) == pytest.approx(best, rel=1e-5)

    def test_max_kl_step_is_the_best_that_scipy_finds(self) -> None:
        mdp, old = problem(3, states=4)
        best = best_of(
            mdp, old, lambda p: tabular.surrogate(mdp, old, p),
            *(lambda p, s=s: 0.05 - kl(old, p)[s] for s in range(4)),
        )  # fmt: skip
        found = tabular.surrogate(mdp, old, max_kl_step(mdp, old, 0.05))
        assert found == pytest.approx(best, rel=1e-5)

    @pytest.mark.parametrize("seed", range(3))
    def test_algorithm_1_maximises_the_bound(self, seed: int) -> None:
        """No policy of the same kind with more or less divergence is better, nor is any of 500
        random ones near it."""
        mdp, old = problem(seed)
        new = algorithm_1(mdp, old)
        found = tabular.divergence_bound(mdp, old, new)
        assert found > tabular.performance(mdp, old)
        d = float(kl(old, new).max())
        values = tabular.advantages(mdp, old)
        for factor in (0.8, 0.99, 1.01, 1.25):
            other = within_each_state(old, values, factor * d)[0]
            assert tabular.divergence_bound(mdp, old, other) < found
        generator = np.random.default_rng(seed)
        size = 0.5 * np.abs(new - old).max()
        for _ in range(500):
            other = new * np.exp(size * generator.standard_normal(new.shape))
            other /= other.sum(axis=1, keepdims=True)
            assert tabular.divergence_bound(mdp, old, other) < found

    def test_the_mixture_maximises_its_bound(self) -> None:
        mdp, old = problem(4)
        new = conservative(mdp, old)
        best = tabular.greedy(tabular.advantages(mdp, old))
        weight = tabular.mixture_penalty(mdp, old, best)

        def bound(alpha: float) -> float:
            mixed = (1.0 - alpha) * old + alpha * best
            return tabular.surrogate(mdp, old, mixed) - weight * alpha**2

        alphas = np.linspace(0.0, 1.0, 2001)
        top = alphas[np.argmax([bound(a) for a in alphas])]
        taken = (new - old)[best > 0] / (1.0 - old[best > 0])
        np.testing.assert_allclose(taken, taken[0], rtol=1e-9)
        assert taken[0] == pytest.approx(top, abs=5e-4)


class TestProgress:
    @pytest.mark.parametrize("discount", [0.5, 0.9, 0.99])
    @pytest.mark.parametrize("rule", GUARANTEED)
    def test_eta_never_falls(self, rule, discount: float) -> None:
        """Nor below the bound, but for the rounding of values of this size."""
        for seed in range(2):
            mdp = random_mdp(10, 3, discount, seed)
            found = improve(mdp, rule, 15)
            rounding = 1e-13 / (1.0 - discount)
            assert np.diff(found["eta"]).min() > -rounding
            assert found["slack"].min() > -rounding
            assert found["eta"][-1] > found["eta"][0]

    def test_trpo_gets_to_the_optimum_and_algorithm_1_needs_longer(self) -> None:
        mdp = random_mdp(10, 3, 0.8, 0)
        best = tabular.optimal_performance(mdp)
        fast = improve(mdp, lambda m, p: mean_kl_step(m, p, 0.05), 40)["eta"]
        slow = improve(mdp, algorithm_1, 40)["eta"]
        assert fast[-1] == pytest.approx(best, rel=1e-6)
        assert slow[0] < slow[-1] < slow[0] + 0.9 * (best - slow[0])

    @pytest.mark.parametrize("rule", [max_kl_step, mean_kl_step])
    def test_nothing_breaks_at_the_optimum(self, rule) -> None:
        """Many steps after the policy has become deterministic to rounding."""
        mdp = random_mdp(10, 3, 0.95, 1)
        eta = improve(mdp, lambda m, p: rule(m, p, 0.2), 120)["eta"]
        assert np.isfinite(eta).all()
        assert eta[-1] == pytest.approx(tabular.optimal_performance(mdp), rel=1e-9)

    def test_equal_advantages_leave_the_policy(self) -> None:
        mdp = MDP(np.ones((1, 2, 1)), np.ones((1, 2)), np.ones(1), 0.5)
        uniform = tabular.uniform_policy(mdp)
        for rule in (algorithm_1, lambda m, p: mean_kl_step(m, p, 0.1)):
            np.testing.assert_array_equal(rule(mdp, uniform), uniform)
        assert improve(mdp, conservative, 1)["eta"] == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("zero", [-3.0, 0.1, 4.9])
def test_root(zero: float) -> None:
    assert root(lambda x: math.tanh(x - zero), -5.0, 5.0) == pytest.approx(zero, abs=1e-9)
    assert root(lambda x: x + 9.0, -5.0, 5.0) == -5.0
    assert root(lambda x: x - 9.0, -5.0, 5.0) == 5.0
