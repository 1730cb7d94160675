"""Convergence on linear-quadratic problems: the rates that the spectra predict."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from trpo_cli.lab import linear_quadratic as lq
from trpo_cli.lab.gain_descent import (
    METHODS,
    Gap,
    Rule,
    descend,
    direction,
    expected_path,
    expected_update,
    first_at,
)
from trpo_cli.simulators.lqr.systems import LinearSystem, make_system


def system_of(states: int, seed: int = 0) -> LinearSystem:
    return make_system(states=states, system_seed=seed, discount=0.95)


def zero(system: LinearSystem) -> np.ndarray:
    return np.zeros((system.actions, system.states))


class TestExactMethods:
    @pytest.mark.parametrize(("states", "seed"), [(2, 0), (3, 1), (6, 0)])
    @pytest.mark.parametrize("method", ["gradient", "natural"])
    def test_error_shrinks_by_the_predicted_factor(
        self, states: int, seed: int, method: str
    ) -> None:
        """With a step below the best one, so that one eigenvalue decides and its factor is
        positive; the next one's share dies out like (second / first)^k."""
        system = system_of(states, seed)
        spectrum = lq.spectra(system)[method]
        step = 0.5 * lq.best_step(spectrum)
        found = descend(system, zero(system), method, step, 400)
        measured = found.measured(1e-9)
        assert measured == pytest.approx(lq.factor(spectrum, found.step), rel=2e-3)

    @pytest.mark.parametrize("states", [1, 2, 6])
    def test_gauss_newton_is_policy_iteration(self, states: int) -> None:
        """alpha = 1/2: the new gain is greedy for P_K, and the error is squared."""
        system = system_of(states)
        gain = zero(system)
        value = lq.value_matrix(system, gain)
        greedy = np.linalg.solve(
            lq.action_curvature(system, value), system.discount * system.B.T @ value @ system.A
        )
        np.testing.assert_allclose(
            gain - 0.5 * direction(system, gain, "gauss_newton"), greedy, atol=1e-12
        )
        errors = descend(system, gain, "gauss_newton", 0.5, 6).errors
        quadratic = errors[1:4] / errors[:3] ** 2
        assert errors[4] < 1e-8 and quadratic.max() < 10.0

    @pytest.mark.parametrize("method", METHODS)
    def test_cost_never_rises_and_ends_at_the_optimum(self, method: str) -> None:
        system = system_of(4)
        step = lq.best_step(lq.spectra(system)[method])
        found = descend(system, zero(system), method, step, 400 if method == "gradient" else 60)
        assert (np.diff(found.gaps) <= 1e-28).all() and found.gaps[-1] < 1e-6

    def test_a_step_that_is_too_long_is_halved(self) -> None:
        system = system_of(2)
        found = descend(system, zero(system), "gradient", 100.0, 200)
        assert found.step == 100.0 / 2**found.halvings and found.halvings > 5
        assert found.gaps[-1] < 1e-3

    def test_natural_needs_fewer_iterations_by_the_ratio_of_the_rates(self) -> None:
        """n iterations shrink by factor^n: from 1e-8 to 1e-12, where the asymptotics hold, the
        ratio of the numbers is that of the logarithms, up to a whole iteration of `natural`."""
        system = system_of(6)
        spectra = lq.spectra(system)
        numbers, logs = [], []
        for method in ("gradient", "natural"):
            spectrum = spectra[method]
            found = descend(system, zero(system), method, 0.5 * lq.best_step(spectrum), 800)
            ends = [first_at(found.gaps, target) for target in (1e-8, 1e-12)]
            assert ends[0] is not None and ends[1] is not None
            numbers.append(ends[1] - ends[0])
            logs.append(-np.log(lq.factor(spectrum, found.step)))
        predicted = logs[1] / logs[0]
        assert predicted > 4.0
        assert numbers[0] / numbers[1] == pytest.approx(predicted, rel=2.0 / numbers[1])


class TestExpectedUpdates:
    def sampled(self, system: LinearSystem, gain: np.ndarray, std: np.ndarray) -> tuple:
        """Gradients of the mean advantage's cost from 400,000 samples of (x, u): a first and a
        second factor per sample, so that means and errors can be taken."""
        generator, size = np.random.default_rng(0), 400_000
        states = lq.mean_state_matrix(system, gain, std, 100)
        x = generator.standard_normal((size, system.states)) @ np.linalg.cholesky(states).T
        noise = std * generator.standard_normal((size, system.actions))
        value = lq.value_matrix(system, gain)
        u, mean = -x @ gain.T + noise, -x @ gain.T

        def q(action: np.ndarray) -> np.ndarray:
            after = x @ system.A.T + action @ system.B.T
            paid = ((action @ system.R) * action).sum(axis=1)
            return paid + system.discount * ((after @ value) * after).sum(axis=1)

        advantage = q(u) - q(mean)
        # d log pi / dK = -(u - mean) / sigma^2 x', d log pi / d log sigma = e^2 / sigma^2 - 1.
        score_gain = -(noise / std**2)[:, :, None] * x[:, None, :]
        score_std = noise**2 / std**2 - 1.0
        return advantage[:, None, None] * score_gain, advantage[:, None] * score_std

    def test_vpg_is_the_mean_of_advantage_times_score(self) -> None:
        """Every entry within five standard errors (10 entries: 1 in 200,000 by chance)."""
        system = system_of(3)
        gain, std = 0.1 + zero(system), np.array([0.4, 0.7])
        new = expected_update(system, gain, np.log(std), Rule("vpg", 1.0), 100)
        for moved, samples in zip(
            (gain - new[0], np.log(std) - new[1]), self.sampled(system, gain, std), strict=True
        ):
            error = samples.std(axis=0) / np.sqrt(len(samples))
            assert (np.abs(samples.mean(axis=0) - moved) < 5.0 * error).all()
            assert (np.abs(moved) > 10.0 * error).any()  # the errors are small enough to tell

    @pytest.mark.parametrize("damping", [0.0, 0.5])
    def test_npg_solves_with_the_fisher_matrix(self, damping: float) -> None:
        """Formed in full, for (K by rows, log sigma)."""
        system = system_of(3)
        gain, log_std = 0.1 + zero(system), np.array([-0.3, 0.2])
        plain = expected_update(system, gain, log_std, Rule("vpg", 1.0), 100)
        states = lq.mean_state_matrix(system, gain, np.exp(log_std), 100)
        blocks = [states / np.exp(2.0 * s) for s in log_std]
        fisher = linalg.block_diag(*blocks, 2.0 * np.eye(2)) + damping * np.eye(8)
        slope = np.concatenate([(gain - plain[0]).ravel(), log_std - plain[1]])
        expected = 0.2 * np.linalg.solve(fisher, slope)
        rule = Rule("npg", 0.2, damping=damping)
        new = expected_update(system, gain, log_std, rule, 100)
        found = np.concatenate([(gain - new[0]).ravel(), log_std - new[1]])
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        if not damping:  # the states cancel
            at = lq.gradient(system, gain, np.exp(log_std))
            natural = 0.4 * np.exp(2.0 * log_std)[:, None] * at.residual
            np.testing.assert_allclose(gain - new[0], natural, rtol=1e-10)

    def test_the_normalised_step_has_the_predicted_divergence(self) -> None:
        """1/2 d'Fd = max_kl for the step d."""
        system = system_of(2)
        gain, log_std = zero(system), np.array([-0.3])
        new = expected_update(system, gain, log_std, Rule("npg", 0.0, 0.01), 100)
        states = lq.mean_state_matrix(system, gain, np.exp(log_std), 100)
        d = (new[0] - gain)[0]
        quadratic = d @ states @ d / np.exp(2.0 * log_std[0]) + 2.0 * (new[1] - log_std)[0] ** 2
        assert quadratic / 2.0 == pytest.approx(0.01, rel=1e-10)

    def test_a_path_ends_where_the_policy_becomes_unstable(self) -> None:
        system = system_of(6)
        start = np.full(system.actions, -0.5)
        gains = expected_path(system, zero(system), start, Rule("vpg", 0.05), 100, 50)
        assert len(gains) == 1
        gains = expected_path(system, zero(system), start, Rule("vpg", 0.01), 100, 50)
        assert len(gains) == 51
        gap = Gap(system)
        assert gap(gains[-1]) < 0.2 * gap(gains[0])
