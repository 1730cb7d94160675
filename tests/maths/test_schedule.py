"""Step sizes over training."""

import pytest

from trpo_cli.maths.schedule import COOLDOWN, scheduled


class TestScheduled:
    @pytest.mark.parametrize("remaining", [1.0, 0.25, 0.0])
    def test_constant_and_linear(self, remaining):
        assert scheduled(0.1, "constant", remaining) == 0.1
        assert scheduled(0.1, "linear", remaining) == 0.1 * remaining

    def test_cooldown_is_constant_then_linear(self):
        assert scheduled(0.1, "cooldown", 1.0) == scheduled(0.1, "cooldown", COOLDOWN) == 0.1
        assert scheduled(0.1, "cooldown", COOLDOWN / 2) == pytest.approx(0.05)
        assert scheduled(0.1, "cooldown", 0.0) == 0.0
