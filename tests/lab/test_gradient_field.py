"""The two gradient fields of a scalar linear-quadratic problem."""

from __future__ import annotations

import numpy as np
import pytest

from trpo_cli.lab import linear_quadratic as lq
from trpo_cli.lab.gradient_field import follow, slopes
from trpo_cli.simulators.lqr.systems import make_system

SYSTEM = make_system(A=[[0.8]], B=[[1.0]], noise=0.1, start=0.3, discount=0.9)
BEST = float(lq.riccati(SYSTEM)[1][0, 0])


def test_the_plain_field_is_the_cost_by_finite_differences() -> None:
    k, s, h = 0.9, -0.4, 1e-6

    def cost(gain: float, log_std: float) -> float:
        return lq.cost(SYSTEM, np.array([[gain]]), np.array([np.exp(log_std)]))

    expected = [
        (cost(k - h, s) - cost(k + h, s)) / (2 * h),
        (cost(k, s - h) - cost(k, s + h)) / (2 * h),
    ]
    np.testing.assert_allclose(slopes(SYSTEM, k, s)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("k", [-0.1, 0.3, 1.2])
def test_the_natural_direction_is_one_for_every_sigma(k: float) -> None:
    """dk / d log sigma = 2 (k - k'), k' greedy for P_k; the plain direction turns with sigma."""
    value = lq.value_matrix(SYSTEM, np.array([[k]]))
    greedy = (0.9 * 0.8 * value / (1.0 + 0.9 * value)).item()
    for log_std in (-3.0, -1.0, 0.5):
        natural = slopes(SYSTEM, k, log_std)[1]
        assert natural[0] / natural[1] == pytest.approx(2.0 * (k - greedy), rel=1e-10)
    steep = [slopes(SYSTEM, k, s)[0] for s in (-3.0, 0.5)]
    assert abs(steep[0][0] / steep[0][1]) > 5.0 * abs(steep[1][0] / steep[1][1])


def test_the_natural_path_comes_as_close_as_the_variance_falls() -> None:
    """Near the optimum k' - k* is of second order in k - k*, so k - k* goes as sigma^2."""
    path = follow(SYSTEM, (BEST + 0.01, 0.0), -2.0, natural=True, length=4.0)
    end = path[-1]
    expected = 0.01 * np.exp(2.0 * (end[1] - path[0, 1]))
    assert end[1] <= -2.0
    assert end[0] - BEST == pytest.approx(expected, rel=0.02)


def test_a_wide_policy_loses_its_exploration_first_on_the_plain_path() -> None:
    ways = []
    for natural in (False, True):
        path = follow(SYSTEM, (1.6, 0.2), -3.0, natural=natural, length=8.0)
        halved = path[np.argmax(path[:, 1] <= 0.2 - np.log(2.0)), 0]
        ways.append((1.6 - halved) / (1.6 - BEST))
    assert ways[0] < 0.6 < ways[1]
