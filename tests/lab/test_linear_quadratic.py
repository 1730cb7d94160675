"""Exact linear-quadratic problems against iteration, finite differences, sums and simulation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import linalg

from trpo_cli.config import EnvConfig
from trpo_cli.lab import linear_quadratic as lq
from trpo_cli.lab.gain_descent import Gap
from trpo_cli.simulators.lqr.environment import ID
from trpo_cli.simulators.lqr.systems import LinearSystem, make_system
from trpo_cli.simulators.make import make_simulator

DISCOUNT = 0.95


def stable_gain(system: LinearSystem, seed: int = 0) -> np.ndarray:
    """Near zero, where random systems are stable."""
    shape = (system.actions, system.states)
    gain = 0.05 * np.random.default_rng(seed).standard_normal(shape)
    assert lq.is_stable(system, gain)
    return gain


def case(states: int, seed: int = 0) -> tuple[LinearSystem, np.ndarray, np.ndarray]:
    system = make_system(states=states, system_seed=seed, discount=DISCOUNT, noise=0.2)
    return system, stable_gain(system), 0.3 + 0.1 * np.arange(system.actions)


class TestRiccati:
    @pytest.mark.parametrize("states", [1, 2, 6, 30])
    @pytest.mark.parametrize("discount", [0.5, 0.95, 1.0])
    @pytest.mark.parametrize("radius", [0.9, 1.3])
    def test_is_the_limit_of_value_iteration(
        self, states: int, discount: float, radius: float
    ) -> None:
        """A discount is sqrt(gamma) on A and B. A radius above one: unstable without control."""
        system = make_system(
            states=states, discount=discount, radius=radius, system_seed=states, noise=0.0
        )
        value, gain = lq.riccati(system)
        root = np.sqrt(discount)
        a, b = root * system.A, root * system.B
        expected = system.Q
        for _ in range(3000):
            best = np.linalg.solve(system.R + b.T @ expected @ b, b.T @ expected @ a)
            expected = system.Q + a.T @ expected @ (a - b @ best)
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(gain, best, atol=1e-8)
        if discount < 1.0 or radius < 1.0:
            np.testing.assert_allclose(value, lq.value_matrix(system, gain), rtol=1e-8)

    def test_scalar_by_hand(self) -> None:
        """x' = x + u, q = r = 1: p = 1 + p - p^2 / (1 + p) is p^2 = p + 1, the golden ratio."""
        system = make_system(A=[[1.0]], B=[[1.0]], noise=0.0)
        value, gain = lq.riccati(system)
        golden = (1.0 + np.sqrt(5.0)) / 2.0
        np.testing.assert_allclose([value[0, 0], gain[0, 0]], [golden, golden / (1.0 + golden)])

    def test_says_when_there_is_no_optimum(self) -> None:
        system = make_system(A=[[2.0, 0.0], [0.0, 0.5]], B=[[0.0], [1.0]], discount=0.9)
        with pytest.raises(FloatingPointError, match="no gain makes"):
            lq.riccati(system)


@pytest.mark.parametrize("states", [1, 7, 30])
def test_lyapunov_is_the_sum(states: int) -> None:
    """0.98^(2 * 1000) = 3e-18 of it is left after a thousand terms."""
    left = make_system(states=states, radius=0.98).A
    term = np.eye(states) + 0.1
    total = np.zeros_like(term)
    for _ in range(1000):
        total, term = total + term, left @ term @ left.T
    np.testing.assert_allclose(lq.lyapunov(left, np.eye(states) + 0.1), total, rtol=1e-9)


class TestCost:
    @pytest.mark.parametrize("states", [1, 3])
    def test_is_the_sum_over_time(self, states: int) -> None:
        """Second moments step by step, cost by cost, until 0.95^600 = 4e-14 is left."""
        system, gain, std = case(states)
        closed, moment, total = system.A - system.B @ gain, system.start, 0.0
        per_step = std**2 @ np.diag(system.R)
        for t in range(600):
            paid = np.sum((system.Q + gain.T @ system.R @ gain) * moment) + per_step
            total += DISCOUNT**t * paid
            added = system.noise + system.B @ np.diag(std**2) @ system.B.T
            moment = closed @ moment @ closed.T + added
        assert lq.cost(system, gain, std) == pytest.approx(total, rel=1e-10)

    def test_without_discount_and_noise_it_is_the_trace(self) -> None:
        system = make_system(states=4, noise=0.0)
        gain = stable_gain(system)
        expected = np.trace(lq.value_matrix(system, gain) @ system.start)
        assert lq.cost(system, gain) == pytest.approx(expected, rel=1e-12)

    def test_infinite_without_a_discount_but_with_noise(self) -> None:
        with pytest.raises(FloatingPointError, match="undiscounted cost"):
            lq.cost(make_system(states=2), np.zeros((1, 2)))

    def test_infinite_for_an_unstable_gain(self) -> None:
        system = make_system(A=[[0.9]], B=[[1.0]], discount=DISCOUNT)
        # sqrt(gamma) |a - b k| passes one at k = -0.126.
        assert np.isfinite(lq.cost(system, np.array([[-0.12]])))
        assert lq.cost(system, np.array([[-0.13]])) == np.inf

    def test_episodes_of_the_environment_cost_as_much(self) -> None:
        """Mean return of 2,000 simulated episodes within four standard errors."""
        system, gain, std = case(3)
        kwargs = {"states": 3, "noise": 0.2}
        sim = make_simulator(EnvConfig(id=ID, kwargs=kwargs, max_episode_steps=20), 2000, 1)
        generator = np.random.default_rng(0)
        states, returns = sim.reset(seed=list(range(2000))), np.zeros(2000)
        for _ in range(20):
            noise = generator.standard_normal((2000, system.actions))
            step = sim.step(-states @ gain.T + std * noise)
            states, returns = step.observations, returns + step.rewards
        error = returns.std() / np.sqrt(2000)
        assert abs(returns.mean() + lq.episode_cost(system, gain, std, 20)) < 4.0 * error


class TestGradient:
    @pytest.mark.parametrize(("states", "seed"), [(1, 0), (2, 1), (6, 2)])
    def test_is_the_cost_by_finite_differences(self, states: int, seed: int) -> None:
        """Central differences with a step of 1e-5 err by about 1e-10 relative here."""
        system, gain, std = case(states, seed)
        at, h = lq.gradient(system, gain, std), 1e-5
        along = np.random.default_rng(seed).standard_normal(gain.shape)
        up, down = (lq.cost(system, gain + s * h * along, std) for s in (1, -1))
        assert (up - down) / (2 * h) == pytest.approx(np.sum(at.gain * along), rel=1e-6)
        for i in range(system.actions):
            factor = np.ones(system.actions)
            factor[i] = np.exp(h)
            up, down = lq.cost(system, gain, std * factor), lq.cost(system, gain, std / factor)
            assert (up - down) / (2 * h) == pytest.approx(at.log_std[i], rel=1e-6)

    def test_vanishes_at_the_optimum_only(self) -> None:
        system, gain, _ = case(4)
        best = lq.riccati(system)[1]
        assert np.abs(lq.gradient(system, best).gain).max() < 1e-10
        assert np.abs(lq.gradient(system, gain).gain).max() > 1.0

    def test_natural_gradient_is_the_inverse_fisher_matrix_times_it(self) -> None:
        """F formed in full from its definition, for parameters (K by rows, log sigma)."""
        system, gain, std = case(4)
        at, states = lq.gradient(system, gain, std), lq.state_matrix(system, gain, std)
        fisher = linalg.block_diag(
            *(states / s**2 for s in std), 2.0 / (1.0 - DISCOUNT) * np.eye(system.actions)
        )
        slope = np.concatenate([at.gain.ravel(), at.log_std])
        expected = np.linalg.solve(fisher, slope)
        natural = lq.natural_gradient(at, std, DISCOUNT)
        found = np.concatenate([natural[0].ravel(), natural[1]])
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_gap_is_the_relative_excess_of_the_cost() -> None:
    system, gain, _ = case(5)
    best = lq.cost(system, lq.riccati(system)[1])
    gap = Gap(system)
    assert gap(gain) == pytest.approx(lq.cost(system, gain) / best - 1.0, rel=1e-9)
    assert gap(gain + 100.0) == np.inf


def test_mean_states_of_an_episode_that_begins_at_rest() -> None:
    """x_0 = 0 and one step of noise: half the mean is noise, B diag(sigma^2) B' included."""
    system, gain, std = case(2)
    rest = dataclasses.replace(system, start=np.zeros((2, 2)))
    added = system.noise + system.B @ np.diag(std**2) @ system.B.T
    np.testing.assert_allclose(lq.mean_state_matrix(rest, gain, std, 2), added / 2.0)
