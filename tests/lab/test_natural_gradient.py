"""The softmax of one parameter: gradients by definition, paths in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from trpo_cli.lab.natural_gradient import ascend, flow, objective, plain_gradient


@pytest.mark.parametrize("theta", [-3.0, 0.0, 0.7, 5.0])
def test_gradient_and_fisher_by_definition(theta: float) -> None:
    p = np.array([np.exp(theta), 1.0]) / (1.0 + np.exp(theta))
    score = np.array([p[1], -p[0]])  # d log p / d theta
    assert objective(theta, 100.0) == pytest.approx(p @ [100.0, 1.0], rel=1e-12)
    assert plain_gradient(theta, 100.0) == pytest.approx(p @ (score * [100.0, 1.0]), rel=1e-10)
    fisher = p @ score**2
    assert plain_gradient(theta, 100.0) / fisher == pytest.approx(99.0, rel=1e-10)


def test_natural_ascent_is_a_line() -> None:
    path = ascend(0.5, 0.01, 300, 100.0, natural=True)
    np.testing.assert_allclose(path, 0.5 + 0.99 * np.arange(301), rtol=1e-12)


@pytest.mark.parametrize(("theta", "reward"), [(0.0, 100.0), (-4.0, 10.0), (3.0, 2.0)])
def test_the_flow_solves_its_equation(theta: float, reward: float) -> None:
    times = np.linspace(0.0, 5.0, 11)
    solved = solve_ivp(
        lambda _, x: [plain_gradient(x[0], reward)], (0.0, 5.0), [theta], t_eval=times,
        rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(flow(theta, times, reward), solved.y[0], atol=1e-8)


def test_plain_ascent_follows_the_flow_as_the_step_shrinks() -> None:
    """Euler's method errs in proportion to its step: a tenth of it, a tenth of the error."""
    errors = []
    for step in (0.001, 0.0001):
        count = round(1.0 / step)
        path = ascend(0.0, step, count, 100.0, natural=False)
        errors.append(abs(path[-1] - flow(0.0, np.array([1.0]), 100.0)[0]))
    assert errors[0] < 0.01
    assert errors[1] == pytest.approx(errors[0] / 10.0, rel=0.05)


def test_plain_ascent_is_logarithmic_in_the_end() -> None:
    """e^theta ~ 99 t: theta - log(99 t) goes to zero like 2 theta / e^theta."""
    assert flow(0.0, np.array([1e6]), 100.0)[0] == pytest.approx(np.log(99e6), abs=1e-6)
