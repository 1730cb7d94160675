"""How far apart are two distributions? Five answers, and Pinsker's bound between two of them.

    D_TV <= sqrt(KL / 2)  (Pinsker)        so KL <= delta bounds every event's probability:
    D_TV <= sqrt(1 - exp(-KL))             with delta = 0.01 none changes by more than 0.071

Wasserstein is W_2 for Gaussians and W_1 for categoricals on 0, 1, 2, ...; Jensen-Shannon is at most
log 2. The trust region of TRPO bounds KL(old || new), which depends on the direction.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from trpo_cli.lab.divergences import MEASURES, bretagnolle_huber, kl, pinsker, total_variation
from trpo_cli.lab.findings import Findings, Table
from trpo_cli.lab.options import number, whole

SHIFTS = np.linspace(0.0, 4.0, 81)
TOP = 3.0
"""Of the image of Gaussians."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--std", type=number(low=0.05, below=20), default=1.0, help="of the second Gaussian (1)")
    add("--outcomes", type=whole(2, 1000), default=5, help="of random categoricals (5)")
    add("--pairs", type=whole(1, 100_000), default=500, help="of random categoricals (500)")
    add("--seed", type=whole(0), default=0, help="of them (0)")


def compute(args: argparse.Namespace) -> Findings:
    """Gaussians at growing distance, given and random categoricals, and the bounds on all."""
    columns = ["p", "q", *MEASURES, "KL(q || p)", "TV / Pinsker", "TV / B.-H."]
    rows = [
        _row("N(0, 1^2)", f"N({shift:g}, {args.std:g}^2)", 1, (0.0, 1.0), (shift, args.std))
        for shift in (0.0, 0.1, 0.5, 1.0, 2.0, 4.0)
    ]
    for p, q in (
        ([0.5, 0.5], [0.6, 0.4]),
        ([0.5, 0.5], [0.99, 0.01]),
        ([0.7, 0.2, 0.1], [0.1, 0.2, 0.7]),
        ([0.7, 0.2, 0.1], [0.2, 0.7, 0.1]),
        ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5]),
    ):
        rows.append(_row(str(p), str(q), 0, np.array(p), np.array(q)))
    generator = np.random.default_rng(args.seed)
    points = np.empty((args.pairs, 2))
    for point in points:
        # Concentrations from almost certain to almost uniform distributions.
        concentration = np.exp(generator.uniform(-2.0, 3.0))
        p, q = generator.dirichlet(np.full(args.outcomes, concentration), 2)
        p, q = np.maximum(p, 1e-12), np.maximum(q, 1e-12)
        p, q = p / p.sum(), q / q.sum()
        point[:] = kl(p, q), total_variation(p, q)
    ratios = points[:, 1] / np.sqrt(points[:, 0] / 2.0)
    note = (
        f"{args.pairs} random pairs of categoricals: TV is at most {ratios.max():.4f} of Pinsker's "
        f"bound, {np.median(ratios):.4f} in the median."
    )
    curves: dict[str, Any] = {
        name: np.array([measure((0.0, 1.0), (float(shift), args.std)) for shift in SHIFTS])
        for name, (_, measure) in MEASURES.items()
    }
    table = Table("Distances, in nats where they have a unit", columns, rows)
    return Findings([table], [note], {**curves, "points": points, "std": args.std})


def _row(p_name: str, q_name: str, kind: int, p: Any, q: Any) -> list[Any]:
    """kind: 0 categoricals, 1 Gaussians."""
    found = {name: functions[kind](p, q) for name, functions in MEASURES.items()}
    tv, forward = found["TV"], found["KL"]
    bounds = [pinsker(forward), bretagnolle_huber(forward)]
    shares = [tv / bound if bound > 0.0 else None for bound in bounds]
    return [p_name, q_name, *found.values(), MEASURES["KL"][kind](q, p), *shares]


def draw(findings: Findings, plt: Any) -> None:
    """Distances of Gaussians against the shift of the mean; total variation against KL."""
    from trpo_cli.lab.figures import COLOURS, look

    c = findings.curves
    _, axes = plt.subplots(1, 2, figsize=(6.8, 3.0))
    shown = {name: c[name] for name in MEASURES}
    shown["Pinsker's bound on TV"] = np.sqrt(c["KL"] / 2.0)
    for index, (name, values) in enumerate(shown.items()):
        thin = {"linewidth": 0.9} if index == len(MEASURES) else {}
        axes[0].plot(SHIFTS, values, **{**look(index), **thin})
        # The name stands where the line leaves the image.
        inside = np.flatnonzero(values <= TOP)
        if len(inside):
            left = name == "KL" or inside[-1] == len(SHIFTS) - 1
            axes[0].annotate(
                name, (SHIFTS[inside[-1]], values[inside[-1]]), fontsize=8,
                color=look(index)["color"], textcoords="offset points",
                xytext=(-5, -10) if name == "KL" else (-2, 3) if left else (4, -10),
                ha="right" if left else "left",
            )  # fmt: skip
    axes[0].set(
        xlabel="shift of the mean", ylabel="distance", ylim=(0.0, TOP), xlim=(0.0, SHIFTS[-1]),
        title=rf"$N(0, 1)$ and $N(\mathrm{{shift}}, {c['std']:g}^2)$",
    )  # fmt: skip
    divergences = np.linspace(0.0, 3.0, 200)
    axes[1].plot(
        *c["points"].T, "o", color=COLOURS[0], markersize=2, markeredgewidth=0, label="random pairs"
    )
    axes[1].plot(divergences, [pinsker(d) for d in divergences], **look(1), label="Pinsker")
    exact = [bretagnolle_huber(d) for d in divergences]
    axes[1].plot(divergences, exact, **look(2), label="Bretagnolle-Huber")
    axes[1].set(
        xlabel="KL, nats", ylabel="total variation", xlim=(0.0, 3.0), ylim=(0.0, 1.05),
        title="Categoricals: KL bounds total variation",
    )  # fmt: skip
    axes[1].legend(loc="lower right", markerscale=2.0)
