import pytest

from trpo_cli.maths.constraint import HIGHEST, LOWEST, adapted_coefficient, dual_ascent


class TestAdaptedCoefficient:
    @pytest.mark.parametrize(
        ("kl", "expected"),
        # With a target of 0.03 the borders are 0.02 and 0.045.
        [(0.0199, 2.0), (0.0201, 4.0), (0.03, 4.0), (0.0449, 4.0), (0.0451, 8.0)],
    )
    def test_by_hand(self, kl, expected):
        assert adapted_coefficient(4.0, kl, 0.03) == expected

    def test_comes_back_from_both_ends(self):
        low = high = 1.0
        for _ in range(2000):  # 2^-2000 would be zero for ever
            low, high = adapted_coefficient(low, 0.0, 0.01), adapted_coefficient(high, 1.0, 0.01)
        assert (low, high) == (LOWEST, HIGHEST)
        assert adapted_coefficient(low, 1.0, 0.01) == 2.0 * LOWEST
        assert adapted_coefficient(high, 0.0, 0.01) == HIGHEST / 2.0


class TestDualAscent:
    @pytest.mark.parametrize(
        ("kl", "expected"), [(0.02, 1.0), (0.04, 1.5), (0.0, 0.5), (0.03, 1.25)]
    )
    def test_by_hand(self, kl, expected):
        """max(0, 1 + 0.5 (kl / 0.02 - 1))."""
        assert dual_ascent(1.0, kl, 0.02, 0.5) == pytest.approx(expected)

    def test_is_never_negative(self):
        assert dual_ascent(0.1, 0.0, 0.02, 0.5) == 0.0
