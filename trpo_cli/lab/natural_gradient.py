"""Plain and natural gradient ascent on a softmax of one parameter.

    p = (e^theta, 1) / (1 + e^theta),   J(theta) = reward p_1 + p_2
    J' = (reward - 1) p_1 p_2,   Fisher = p_1 p_2,   natural gradient = reward - 1

The plain gradient vanishes as the policy becomes sure, and theta grows like the logarithm of the
iterations; the natural gradient is constant, and theta grows linearly. Both start at --theta and
take the same step size.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from trpo_cli.lab.findings import Findings, Table
from trpo_cli.lab.options import number, whole


def objective(theta: Any, reward: float) -> Any:
    """J = reward p_1 + p_2, as reward minus what uncertainty costs."""
    return reward - (reward - 1.0) / (1.0 + np.exp(np.minimum(theta, 700.0)))


def plain_gradient(theta: float, reward: float) -> float:
    """J' = (reward - 1) e^theta / (1 + e^theta)^2."""
    decay = np.exp(-abs(theta))
    return float((reward - 1.0) * decay / (1.0 + decay) ** 2)


def ascend(theta: float, step: float, iterations: int, reward: float, natural: bool) -> np.ndarray:
    """theta_0 ... theta_iterations of theta <- theta + step g, with g = J' or J' / Fisher."""
    path = np.empty(iterations + 1)
    path[0] = theta
    for k in range(iterations):
        slope = reward - 1.0 if natural else plain_gradient(path[k], reward)
        path[k + 1] = path[k] + step * slope
    return path


def flow(theta: float, time: np.ndarray, reward: float) -> np.ndarray:
    """The plain gradient flow d theta / dt = J' in closed form: it solves

        e^theta + 2 theta - e^-theta = e^theta_0 + 2 theta_0 - e^-theta_0 + (reward - 1) t

    (separate the variables). The left side rises with theta: Newton's method from above, where it
    is convex, and so never steps past the solution.
    """

    def left(x: Any) -> Any:
        return 2.0 * np.sinh(x) + 2.0 * x

    target = left(theta) + (reward - 1.0) * time
    x = np.maximum(np.log(np.maximum(target, 1.0)), theta)
    x = np.where(left(x) < target, np.maximum(target / 4.0, x), x)
    for _ in range(100):
        x = x - (left(x) - target) / (2.0 * np.cosh(x) + 2.0)
    return x


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--theta", type=number(low=-20, below=20), default=0.0, help="first parameter (0)")
    add("--reward", type=number(above=1), default=100.0, help="of the better action (100)")
    add("--step-size", type=number(above=0), default=0.001, help="of both rules (0.001)")
    add("--iterations", type=whole(1, 10**6), default=1000, help="of both rules (1000)")


def compute(args: argparse.Namespace) -> Findings:
    """Both paths and their predictions."""
    n, step, reward = args.iterations, args.step_size, args.reward
    plain = ascend(args.theta, step, n, reward, natural=False)
    natural = ascend(args.theta, step, n, reward, natural=True)
    iterations = np.arange(n + 1)
    predicted_plain = flow(args.theta, step * iterations, reward)
    predicted_natural = args.theta + (reward - 1.0) * step * iterations
    shown = sorted({int(k) for k in np.geomspace(1, n, 8).round()} | {0})
    columns = {
        "plain theta": plain,
        "flow": predicted_plain,
        "natural theta": natural,
        "line": predicted_natural,
        "plain regret": reward - objective(plain, reward),
        "natural regret": reward - objective(natural, reward),
    }
    rows = [[k, *(float(column[k]) for column in columns.values())] for k in shown]
    note = (
        f"Natural: theta gains (reward - 1) step = {(reward - 1) * step:.4g} in every iteration. "
        "Plain: e^theta + 2 theta - e^-theta gains that much, so theta goes as its logarithm."
    )
    curves = {
        "iterations": iterations,
        "plain": plain,
        "natural": natural,
        "flow": predicted_plain,
        "line": predicted_natural,
        "reward": reward,
    }
    title = f"Softmax of one parameter, rewards {reward:g} and 1, step size {step:g}"
    return Findings([Table(title, ["iteration", *columns], rows)], [note], curves)


def draw(findings: Findings, plt: Any) -> None:
    """theta and regret against the iterations."""
    from trpo_cli.lab.figures import look

    c = findings.curves
    _, axes = plt.subplots(1, 2, figsize=(6.8, 2.7))
    every = max(1, len(c["iterations"]) // 12)
    for index, (name, exact) in enumerate((("plain", "flow"), ("natural", "line"))):
        style = look(index)
        axes[0].plot(c["iterations"], c[exact], **style, label=f"{name}: closed form")
        axes[0].plot(
            c["iterations"][::every], c[name][::every], "os"[index], color=style["color"],
            markersize=4, markerfacecolor="white", label=f"{name}: iterates",
        )  # fmt: skip
        regret = c["reward"] - objective(c[name], c["reward"])
        shown = regret > 1e-13 * c["reward"]  # below is rounding
        axes[1].semilogy(c["iterations"][shown], regret[shown], **style, label=name)
    # The line would squeeze the logarithm into the axis: show where both can be read.
    axes[0].set_ylim(min(c["plain"][0], 0.0) - 0.5, 2.5 * max(c["plain"].max(), 1.0))
    axes[0].set(xlabel="iteration", ylabel=r"$\theta$", title="Parameter")
    axes[1].set(xlabel="iteration", ylabel="optimum - J", title="Regret")
    axes[0].legend(loc="lower right")
    axes[1].legend()
