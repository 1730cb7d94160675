"""Step sizes over training."""

import pytest

from trpo_cli.maths.schedule import COOLDOWN, LARGEST, SMALLEST, adapted_step_size, scheduled


class TestScheduled:
    @pytest.mark.parametrize("remaining", [1.0, 0.25, 0.0])
    def test_constant_and_linear(self, remaining):
        assert scheduled(0.1, "constant", remaining) == 0.1
        assert scheduled(0.1, "linear", remaining) == 0.1 * remaining

    def test_cooldown_is_constant_then_linear(self):
        assert scheduled(0.1, "cooldown", 1.0) == scheduled(0.1, "cooldown", COOLDOWN) == 0.1
        assert scheduled(0.1, "cooldown", COOLDOWN / 2) == pytest.approx(0.05)
        assert scheduled(0.1, "cooldown", 0.0) == 0.0


class TestAdaptedStepSize:
    @pytest.mark.parametrize(
        ("kl", "expected"),
        # With a target of 0.01 the borders are 0.005 and 0.02.
        [(0.0049, 4.5e-4), (0.0051, 3e-4), (0.0199, 3e-4), (0.0201, 2e-4)],
    )
    def test_by_hand(self, kl, expected):
        assert adapted_step_size(3e-4, kl, 0.01) == pytest.approx(expected)

    def test_comes_back_from_both_ends(self):
        low = high = 3e-4
        for _ in range(2000):
            low, high = adapted_step_size(low, 1.0, 0.01), adapted_step_size(high, 0.0, 0.01)
        assert (low, high) == (SMALLEST, LARGEST)
        assert adapted_step_size(low, 0.0, 0.01) == 1.5 * SMALLEST

    def test_a_size_beyond_the_limits_only_comes_back(self):
        assert adapted_step_size(0.1, 0.0, 0.01) == 0.1
        assert adapted_step_size(0.1, 1.0, 0.01) == pytest.approx(0.1 / 1.5)
        assert adapted_step_size(1e-7, 1.0, 0.01) == 1e-7
