"""Plain and natural gradient fields of a scalar linear-quadratic problem.

    x' = a x + b u + w,   cost x^2 q + u^2 r,   u ~ N(-k x, sigma^2),   parameters (k, log sigma)

After Peters and Schaal 2008 ("Natural actor-critic"): while sigma is large the plain gradient
mostly reduces it, and the exploration is gone before the gain is right; where sigma is small it
has no use for it at all. The direction of the natural gradient does not depend on sigma. In closed
form its parts are -2 sigma^2 E_k and -sigma^2 M, so that along its flow
dk / d log sigma = 2 (k - k'), with k' the greedy gain at k: k comes as close as sigma^2 falls.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from trpo_cli.errors import UserError
from trpo_cli.lab.findings import Findings, Table
from trpo_cli.lab.linear_quadratic import cost, gradient, natural_gradient, riccati
from trpo_cli.lab.options import number, whole
from trpo_cli.simulators.lqr.systems import LinearSystem, make_system

LENGTH = 400
"""Points of a path through a field."""
FINE = 60
"""Points per side of the grid that the contours are drawn from."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--a", type=number(), default=0.8, help="of x' = a x + b u (0.8)")
    add("--b", type=number(), default=1.0, help="(1)")
    add("--q", type=number(low=0), default=1.0, help="cost of x^2 (1)")
    add("--r", type=number(above=0), default=1.0, help="cost of u^2 (1)")
    add("--noise", type=number(low=0), default=0.1, help="standard deviation of w (0.1)")
    add("--start", type=number(low=0), default=0.3, help="standard deviation of x_0 (0.3)")
    add("--discount", type=number(above=0, below=1), default=0.9, help="gamma (0.9)")
    add("--arrows", type=whole(2, 60), default=15, help="per side of the image (15)")
    add("--log-std", type=number(), nargs=2, default=[-3.0, 0.5], help="range drawn (-3 0.5)",
        metavar=("LOW", "HIGH"))  # fmt: skip


def slopes(system: LinearSystem, k: float, log_std: float) -> tuple[np.ndarray, np.ndarray]:
    """Descent directions in (k, log sigma): minus the plain and the natural gradient of C."""
    std = np.array([np.exp(log_std)])
    at = gradient(system, np.array([[k]]), std)
    natural = natural_gradient(at, std, system.discount)
    plain = np.array([at.gain[0, 0], at.log_std[0]])
    return -plain, -np.array([natural[0][0, 0], natural[1][0]])


def follow(
    system: LinearSystem, start: tuple[float, float], low: float, natural: bool, length: float
) -> np.ndarray:
    """The path (T, 2) of the flow along one field, by the midpoint rule in equal pieces of length;
    it ends at `low`, the lowest log sigma. length: of the path, at most."""
    step = length / LENGTH
    points = [np.array(start)]
    while len(points) <= LENGTH and points[-1][1] > low:
        here = points[-1]
        for _ in range(2):
            direction = slopes(system, *here)[natural]
            direction = direction / np.linalg.norm(direction)
            here = points[-1] + 0.5 * step * direction
        points.append(points[-1] + step * direction)
    return np.array(points)


def compute(args: argparse.Namespace) -> Findings:
    """Both fields over a grid, and paths from three starts."""
    system = make_system(
        A=[[args.a]], B=[[args.b]], Q=args.q, R=args.r, noise=args.noise, start=args.start,
        discount=args.discount,
    )  # fmt: skip
    low, high = args.log_std
    if low >= high:
        raise UserError(f"--log-std {low:g} {high:g}: the lower end comes first.")
    if not args.b:
        raise UserError("--b 0: actions without effect have no gradient; give another number.")
    best = float(riccati(system)[1][0, 0])
    # Gains that keep the cost finite: sqrt(gamma) |a - b k| < 1.
    reach = 1.0 / np.sqrt(args.discount) / abs(args.b)
    middle = args.a / args.b
    gains = np.linspace(middle - 0.92 * reach, middle + 0.92 * reach, args.arrows)
    spreads = np.linspace(low, high, args.arrows)
    field = np.array([[slopes(system, k, s) for k in gains] for s in spreads])
    fine = np.linspace(gains[0], gains[-1], FINE), np.linspace(low, high, FINE)
    plane = np.array(
        [[cost(system, np.array([[k]]), np.array([np.exp(s)])) for k in fine[0]] for s in fine[1]]
    )
    starts = [(gains[1], high - 0.3), (gains[-2], high - 0.3), (gains[1], (low + high) / 2)]
    length = 2.0 * (high - low + 2.0 * reach)
    paths = {
        name: [follow(system, start, low, natural, length) for start in starts]
        for name, natural in (("plain", False), ("natural", True))
    }
    rows = []
    for start, plain, natural in zip(starts, paths["plain"], paths["natural"], strict=True):
        begin = f"({start[0]:.3f}, {start[1]:.2f})"
        for name, path in (("plain", plain), ("natural", natural)):
            # Where exploration has halved: how much of the way has the gain gone?
            halved = path[np.argmax(path[:, 1] <= start[1] - np.log(2.0))]
            share = 1.0 - abs(halved[0] - best) / abs(start[0] - best)
            rows.append([begin, name, float(share), float(path[-1, 0] - best)])
    tables = [
        Table(
            f"Paths from (k, log sigma); the optimal gain is {best:.5g}",
            ["start", "gradient", "way gone at sigma / 2", "k - optimum at the end"],
            rows,
        )
    ]
    note = (
        "Way gone: the share of the distance to the optimal gain that is covered when sigma has "
        "halved."
    )
    curves = {"gains": gains, "spreads": spreads, "field": field, "best": best, "paths": paths}
    return Findings(tables, [note], {**curves, "fine": fine, "plane": plane})


def draw(findings: Findings, plt: Any) -> None:
    """Unit arrows over the contours of the cost, with the paths of both flows."""
    from trpo_cli.lab.figures import COLOURS

    c = findings.curves
    _, axes = plt.subplots(1, 2, figsize=(6.8, 3.1), sharey=True)
    gains, spreads = c["gains"], c["spreads"]
    span = np.array([np.ptp(gains), np.ptp(spreads)])
    for index, name in enumerate(("plain", "natural")):
        ax = axes[index]
        ax.contour(
            *c["fine"], np.log(c["plane"]), 12, colors="#bbbbbb", linewidths=0.6,
            linestyles="solid",
        )  # fmt: skip
        arrows = c["field"][:, :, index] / span  # as they look in the image
        arrows = arrows / np.linalg.norm(arrows, axis=2, keepdims=True)
        ax.quiver(
            gains, spreads, arrows[..., 0], arrows[..., 1], color="#555555", pivot="mid",
            angles="uv", scale=22, width=0.0035,
        )  # fmt: skip
        for path in c["paths"][name]:
            ax.plot(path[:, 0], path[:, 1], color=COLOURS[index], linewidth=1.8)
            ax.plot(*path[0], "o", color=COLOURS[index], markersize=4)
        ax.axvline(c["best"], color="black", linestyle=":", linewidth=1.0)
        ax.set(
            xlim=(gains[0], gains[-1]), ylim=(spreads[0], spreads[-1]), xlabel="gain k",
            title=f"{name} gradient",
        )  # fmt: skip
        ax.grid(False)
    axes[0].set_ylabel(r"$\log\,\sigma$")
