"""Tabular problems: sums over time, the performance difference, and the bounds of TRPO."""

from __future__ import annotations

import numpy as np
import pytest

from trpo_cli.lab import tabular
from trpo_cli.lab.divergences import kl, total_variation
from trpo_cli.lab.tabular import MDP, random_mdp, random_policy

SIZES = [(2, 2, 0.5), (5, 3, 0.9), (30, 4, 0.95), (12, 6, 0.99)]


def pairs(mdp: MDP, count: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random policies, and others between 0.1% and all the way to another random one."""
    generator, found = np.random.default_rng(0), []
    for share in np.geomspace(1e-3, 1.0, count):
        old = random_policy(mdp, generator)
        found.append((old, (1.0 - share) * old + share * random_policy(mdp, generator)))
    return found


class TestExact:
    def test_values_and_visitation_are_sums_over_time(self) -> None:
        """0.9^400 = 5e-19 is left."""
        mdp = random_mdp(6, 3, 0.9, 1)
        policy = random_policy(mdp, np.random.default_rng(2))
        rewards = (policy * mdp.rewards).sum(axis=1)
        states = tabular.state_distributions(mdp, policy, 400)
        weights = 0.9 ** np.arange(400)
        assert tabular.performance(mdp, policy) == pytest.approx(weights @ states @ rewards)
        np.testing.assert_allclose(tabular.visitation(mdp, policy), weights @ states, rtol=1e-12)

    def test_two_states_by_hand(self) -> None:
        """Action 0 stays, action 1 goes to the other state; staying in state 1 pays one. Always
        going: V_0 = gamma V_1, V_1 = gamma V_0, nothing is ever paid, and A_1(stay) = 1."""
        stay, go = np.eye(2), np.eye(2)[::-1]
        mdp = MDP(
            np.stack([stay, go], axis=1), np.array([[0.0, 0.0], [1.0, 0.0]]), np.eye(2)[0], 0.5
        )
        going = np.array([[0.0, 1.0], [0.0, 1.0]])
        np.testing.assert_allclose(tabular.advantages(mdp, going), [[0.0, 0.0], [1.0, 0.0]])
        np.testing.assert_allclose(tabular.visitation(mdp, going), [4.0 / 3.0, 2.0 / 3.0])
        # Go once, then stay: gamma / (1 - gamma) = 1.
        assert tabular.optimal_performance(mdp) == pytest.approx(1.0)

    def test_transitions_are_probabilities_of_so_many_states(self) -> None:
        mdp = random_mdp(9, 2, 0.9, 0, branching=4)
        np.testing.assert_allclose(mdp.transitions.sum(axis=2), 1.0)
        np.testing.assert_array_equal((mdp.transitions > 0.0).sum(axis=2), 4)

    def test_no_policy_is_better_than_the_optimum(self) -> None:
        mdp, generator = random_mdp(5, 2, 0.9, 3), np.random.default_rng(0)
        best = tabular.optimal_performance(mdp)
        every = [np.eye(2)[[k >> s & 1 for s in range(5)]] for k in range(32)]
        assert best == pytest.approx(max(tabular.performance(mdp, p) for p in every), rel=1e-12)
        assert all(
            tabular.performance(mdp, random_policy(mdp, generator)) < best for _ in range(20)
        )


@pytest.mark.parametrize(("states", "actions", "discount"), SIZES)
class TestPairs:
    @pytest.fixture
    def mdp(self, states: int, actions: int, discount: float) -> MDP:
        return random_mdp(states, actions, discount, states)

    def test_performance_difference_identity(self, mdp: MDP) -> None:
        for old, new in pairs(mdp):
            difference = tabular.performance(mdp, new) - tabular.performance(mdp, old)
            assert abs(difference - tabular.performance_difference(mdp, old, new)) < 1e-10

    def test_surrogate_has_the_same_value_and_slope(self, mdp: MDP) -> None:
        """eta and L along a line of policies: their difference is of second order in its
        length, so a hundredth of the length gives a ten-thousandth of it."""
        for old, _ in pairs(mdp, 4):
            assert tabular.surrogate(mdp, old, old) == pytest.approx(tabular.performance(mdp, old))
            gaps = []
            for step in (1e-2, 1e-4):
                mixed = old + step * (random_policy(mdp, np.random.default_rng(1)) - old)
                difference = tabular.performance_difference(mdp, old, mixed)
                linear = tabular.surrogate(mdp, old, mixed) - tabular.performance(mdp, old)
                gaps.append(difference - linear)
            assert abs(gaps[1]) < 2e-4 * abs(gaps[0]) + 1e-12

    def test_lower_bounds(self, mdp: MDP) -> None:
        """Theorem 1 with total variation and with KL, and the mixture's bound."""
        for old, new in pairs(mdp):
            eta = tabular.performance(mdp, new) + 1e-10
            by_kl = tabular.divergence_bound(mdp, old, new)
            by_tv = tabular.variation_bound(mdp, old, new)
            assert by_kl <= by_tv <= eta
            best = tabular.greedy(tabular.advantages(mdp, old))
            weight = tabular.mixture_penalty(mdp, old, best)
            for alpha in (0.01, 0.3, 1.0):
                mixed = (1.0 - alpha) * old + alpha * best
                bound = tabular.surrogate(mdp, old, mixed) - weight * alpha**2
                assert bound <= tabular.performance(mdp, mixed) + 1e-10

    def test_states_drift_no_faster_than_the_bound(self, mdp: MDP) -> None:
        for old, new in pairs(mdp, 5):
            alpha = float(total_variation(old, new).max())
            drift = np.abs(
                tabular.state_distributions(mdp, new, 30)
                - tabular.state_distributions(mdp, old, 30)
            ).sum(axis=1)
            bound = tabular.drift_bound(alpha, 30)
            assert (drift <= bound + 1e-12).all()
            assert (bound <= 2.0 * alpha * np.arange(30) + 1e-12).all()


def test_the_penalty_by_hand() -> None:
    """One state, rewards 1 and -1, uniform: A = +-1, C = 4 * 0.5 / 0.25 = 8."""
    mdp = MDP(np.ones((1, 2, 1)), np.array([[1.0, -1.0]]), np.ones(1), 0.5)
    uniform = tabular.uniform_policy(mdp)
    assert tabular.penalty(mdp, uniform) == pytest.approx(8.0)
    # Towards the better action E A = 1, half the weight: 2 * 0.5 / 0.25.
    assert tabular.mixture_penalty(mdp, uniform, np.array([[1.0, 0.0]])) == pytest.approx(4.0)


def test_divergence_by_hand() -> None:
    old, new = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [0.5, 0.5]])
    expected = [0.5 * np.log(2.0) + 0.5 * np.log(2.0 / 3.0), np.log(2.0)]
    np.testing.assert_allclose(kl(old, new), expected)
    np.testing.assert_allclose(kl(new, old)[1], np.inf)
    np.testing.assert_allclose(total_variation(old, new), [0.25, 0.5])
