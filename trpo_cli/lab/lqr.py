"""Policy gradient, natural gradient and Gauss-Newton on a linear-quadratic problem.

    x' = A x + B u + w,   cost = sum_t gamma^t (x'Qx + u'Ru),   u = -K x

    policy gradient    K <- K - alpha 2 E Sigma        error shrinks by  max |1 - 2 alpha m s|
    natural gradient   K <- K - alpha 2 E                                max |1 - 2 alpha m|
    Gauss-Newton       K <- K - alpha 2 M^-1 E                           |1 - 2 alpha|

per iteration near the optimum, over the eigenvalues m of M = R + gamma B'PB and s of the states'
second moment Sigma there (Fazel et al. 2018). The steps default to those with the smallest such
factor. The optimum is that of the Riccati equation. The system is a given one (--A and --B), a
random one, or that of runs made with trpo-run +experiment=lqr (--runs), whose gains are then
compared with the optimum and with the expected updates of their rule.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from trpo_cli.errors import UserError
from trpo_cli.lab.findings import Findings, Table
from trpo_cli.lab.gain_descent import Descent, Gap, descend, expected_path, first_at
from trpo_cli.lab.learned import LearnedRun, read_run
from trpo_cli.lab.linear_quadratic import (
    best_step,
    cost,
    episode_cost,
    factor,
    is_stable,
    riccati,
    spectra,
    spectral_radius,
)
from trpo_cli.lab.options import number, whole
from trpo_cli.simulators.lqr.systems import LinearSystem, make_system

GIVEN = ("A", "B", "Q", "R", "noise", "start", "states", "actions", "radius", "discount")
TITLES = {
    "gradient": "policy gradient",
    "natural": "natural gradient",
    "gauss_newton": "Gauss-Newton",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--states", type=whole(1, 200), help="of a random stable system (6)")
    add("--actions", type=whole(1, 200), help="of it (half as many)")
    add("--seed", type=whole(0), help="of it (0)")
    add("--radius", type=number(above=0, below=1), help="spectral radius of its A (0.9)")
    for key, text in (
        ("A", "a given system, such as '[[1,0.1],[0,1]]'"),
        ("B", "such as '[[0],[0.1]]'"),
        ("Q", "a number, a diagonal or a matrix (1)"),
        ("R", "the same (1)"),
        ("noise", "standard deviation of w, one for each state, or a covariance (0.1)"),
        ("start", "the same of x_0 (1)"),
    ):
        add(f"--{key}", type=_json, metavar="JSON", help=text)
    add("--discount", type=number(above=0, below=1), help="gamma (0.95)")
    add("--iterations", type=whole(1, 100_000), default=100, help="of each method (100)")
    for method, title in TITLES.items():
        option = f"--{method.replace('_', '-')}-step"
        add(option, type=number(above=0), help=f"alpha of {title} (the best near the optimum)")
    add("--gap", type=number(above=0), default=1e-3, help="iterations are counted to it (0.001)")
    add("--runs", nargs="+", metavar="DIR", default=[], help="run directories of trpo-run")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is not a number or matrix such as [[1,0.1],[0,1]]"
        ) from None


def compute(args: argparse.Namespace) -> Findings:
    """The exact methods on one system, and the runs beside them."""
    runs = [read_run(path) for path in args.runs]
    system = _system(args, runs)
    try:
        best = riccati(system)[1]
    except FloatingPointError:
        raise UserError(
            "No gain makes the discounted cost of this system finite: B does not reach a state "
            "that grows by itself. Give another B, or a lower --discount."
        ) from None
    start = first_gain(system)
    found = spectra(system)
    descents = {}
    for method, spectrum in found.items():
        step = getattr(args, f"{method}_step") or best_step(spectrum)
        descents[method] = descend(system, start, method, step, args.iterations)
    tables = [_methods(descents, found, args.gap)]
    curves: dict[str, Any] = {"descents": descents, "spectra": found}
    notes = [_words(system, found, start, best)]
    if runs:
        curves["runs"] = [(run, *_expected(run)) for run in runs]
        tables.append(_runs(curves["runs"], best, args.gap))
        notes.append(
            "gap: of the mean gain's discounted cost, exactly. return: exact expectation over an "
            "episode, noise of the actions included; that of the optimum without it."
        )
    return Findings(tables, notes, curves)


def _system(args: argparse.Namespace, runs: list[LearnedRun]) -> LinearSystem:
    given = {key: getattr(args, key) for key in GIVEN if getattr(args, key) is not None}
    if args.seed is not None:
        given["system_seed"] = args.seed
    if runs:
        if given:
            option = "seed" if "system_seed" in given else next(iter(given))
            raise UserError(f"--{option} cannot be given with --runs: theirs is the system.")
        for run in runs[1:]:
            if not _same(run.system, runs[0].system):
                raise UserError(
                    f"{run.name} and {runs[0].name} are runs on different systems; compare those "
                    "of one system at a time."
                )
        return runs[0].system
    if "A" not in given and "B" not in given:
        given.setdefault("states", 6)
    elif "radius" in given or "system_seed" in given:
        raise UserError("--seed and --radius are for random systems, and --A and --B are given.")
    return make_system(**{"discount": 0.95, **given})


def _same(one: LinearSystem, other: LinearSystem) -> bool:
    return all(np.array_equal(getattr(one, k), getattr(other, k)) for k in vars(one))


def first_gain(system: LinearSystem) -> np.ndarray:
    """Zero where that is stable; otherwise the optimum if actions cost a hundred times as much."""
    gain = np.zeros((system.actions, system.states))
    if is_stable(system, gain):
        return gain
    dear = LinearSystem(**{**vars(system), "R": 100.0 * system.R})
    return riccati(dear)[1]


def _words(
    system: LinearSystem, found: dict[str, np.ndarray], start: np.ndarray, best: np.ndarray
) -> str:
    closed = spectral_radius(system.A - system.B @ best)
    ratio = [found[method][-1] / found[method][0] for method in ("gradient", "natural")]
    return (
        f"States {system.states}, actions {system.actions}, discount {system.discount:g}, spectral "
        f"radius {spectral_radius(system.A):.3g}, {closed:.3g} "
        f"under the optimal gain; C* = {cost(system, best):.6g}, at the start "
        f"{cost(system, start):.6g}. Condition numbers: {ratio[0]:.3g} for the gradient, "
        f"{ratio[1]:.3g} for the natural gradient."
    )


def _methods(descents: dict[str, Descent], spectra: dict[str, np.ndarray], target: float) -> Table:
    rows = [
        [
            TITLES[method],
            found.step,
            found.halvings,
            first_at(found.gaps, target),
            found.gaps[-1].item(),
            found.measured(),
            factor(spectra[method], found.step),
        ]
        for method, found in descents.items()
    ]
    columns = ["method", "step", "halved", f"to {target:g}", "last gap", "measured", "predicted"]
    title = "Relative gap of the cost, and the factor of the gain's error per iteration at the end"
    return Table(title, columns, rows)


def _expected(run: LearnedRun) -> tuple[np.ndarray, np.ndarray | None]:
    """Exact gaps of the saved gains, and those of the expected updates, by iteration."""
    gap = Gap(run.system)
    saved = np.array([gap(gain) for gain, _ in run.saved.values()])
    if run.rule is None:
        return saved, None
    zero = np.zeros((run.system.actions, run.system.states))
    spread = np.full(run.system.actions, run.start_log_std)
    if not is_stable(run.system, zero):
        return saved, None
    path = expected_path(run.system, zero, spread, run.rule, run.horizon, max(run.saved))
    return saved, np.array([gap(gain) for gain in path])


def _runs(runs: list[Any], best: np.ndarray, target: float) -> Table:
    rows = []
    for run, saved, expected in runs:
        gain, log_std = run.last
        system, horizon = run.system, run.horizon
        # Only where every iteration was saved is the first one known.
        reached = first_at(saved, target) if len(saved) == max(run.saved) else None
        rows.append(
            [
                run.name,
                run.algo,
                max(run.saved),
                100.0 * saved[-1].item(),
                None if reached is None else reached + 1,
                None if expected is None else first_at(expected, target),
                -episode_cost(system, gain, np.exp(log_std), horizon),
                -episode_cost(system, best, np.zeros(system.actions), horizon),
            ]
        )
    columns = ["run", "rule", "iterations", "gap %", f"to {target:g}", "expected"]
    return Table("Learned from samples", [*columns, "return", "optimum"], rows)


def draw(findings: Findings, plt: Any) -> None:
    """Gap against iterations, and beside it the factors, or the runs."""
    from trpo_cli.lab.lqr_figure import draw_factors, draw_gaps, draw_returns, draw_runs

    c = findings.curves
    panels = 3 if "runs" in c else 2
    _, axes = plt.subplots(1, panels, figsize=(3.4 * panels, 3.0))
    draw_gaps(axes[0], c["descents"], c["spectra"], TITLES)
    if "runs" in c:
        draw_runs(axes[1], c["runs"])
        draw_returns(axes[2], [run for run, _, _ in c["runs"]])
    else:
        draw_factors(axes[1], c["descents"], c["spectra"], TITLES)
