"""The panels of the figure of `lqr`."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.lab.figures import MARKERS, look
from trpo_cli.lab.gain_descent import Descent
from trpo_cli.lab.learned import LearnedRun
from trpo_cli.lab.linear_quadratic import episode_cost, factor, riccati

FLOOR = 1e-16
"""Gaps below are rounding."""
FEW = 12
"""Checkpoints that are drawn one by one."""


def draw_gaps(
    axis: Any, descents: dict[str, Descent], spectra: dict[str, np.ndarray], titles: dict[str, str]
) -> None:
    """Relative gaps of the cost, and below each the slope that the spectrum predicts: the gap
    shrinks by the square of the error's factor."""
    for index, (method, found) in enumerate(descents.items()):
        shown = found.gaps > FLOOR
        iterations = np.flatnonzero(shown)
        axis.semilogy(iterations, found.gaps[shown], **look(index), label=titles[method])
        slope = factor(spectra[method], found.step) ** 2
        if 1e-3 < slope < 1.0 and len(iterations) > 4:
            last = iterations[-1]
            first = last // 2
            line = found.gaps[last] * slope ** (np.array([first, last]) - last) / 4.0
            axis.semilogy([first, last], line, color="black", linewidth=0.8, linestyle=":")
    axis.plot([], [], color="black", linewidth=0.8, linestyle=":", label="predicted slope")
    axis.set(xlabel="iteration", ylabel="relative gap of the cost", title="Exact gradients")
    axis.legend()


def draw_factors(
    axis: Any, descents: dict[str, Descent], spectra: dict[str, np.ndarray], titles: dict[str, str]
) -> None:
    """By how much each iteration shrinks the error of the gain, and what the spectrum predicts."""
    for index, (method, found) in enumerate(descents.items()):
        exact = found.errors > 1e-12 * found.errors[0]
        ratios = found.errors[1:][exact[1:]] / found.errors[:-1][exact[1:]]
        style = look(index)
        axis.plot(np.arange(1, len(ratios) + 1), ratios, **style, label=titles[method])
        predicted = factor(spectra[method], found.step)
        axis.axhline(predicted, color=style["color"], linewidth=0.8, linestyle=":")
    axis.set(xlabel="iteration", ylabel="error after / before", title="Factor of the gain's error")
    axis.set_ylim(-0.02, 1.05)


def draw_runs(axis: Any, runs: list[tuple[LearnedRun, np.ndarray, np.ndarray | None]]) -> None:
    """Exact gaps of the gains that were learned, one colour for each rule, and the expectation."""
    looks = _looks([run for run, _, _ in runs])
    for run, saved, _ in runs:
        marker = {} if len(saved) <= FEW else {"marker": ""}
        style = {**looks[run.algo], **marker}
        axis.semilogy(list(run.saved), saved, **style, label=f"{run.algo}, sampled")
    # On top, and once for each rule: the runs of a rule share it unless their settings differ.
    drawn: set[tuple[str, bytes]] = set()
    for run, _, expected in runs:
        if expected is None or (run.algo, expected.tobytes()) in drawn:
            continue
        drawn.add((run.algo, expected.tobytes()))
        kept = expected > FLOOR
        axis.semilogy(
            np.flatnonzero(kept), expected[kept], color="black", linewidth=1.0,
            linestyle=looks[run.algo]["linestyle"], label=f"{run.algo}, expected",
        )  # fmt: skip
    low = min(float(saved.min()) for _, saved, _ in runs)
    axis.set_ylim(bottom=max(low / 3.0, FLOOR))
    axis.set(xlabel="iteration", ylabel="relative gap of the cost", title="From samples")
    _legend(axis)


def draw_returns(axis: Any, runs: list[LearnedRun]) -> None:
    """Costs of the training episodes as logged, noise of the actions included, over the expected
    cost of an episode under the optimal gain without noise."""
    looks = _looks(runs)
    for run in runs:
        system, best = run.system, riccati(run.system)[1]
        optimum = episode_cost(system, best, np.zeros(system.actions), run.horizon)
        style = {**looks[run.algo], "marker": ""}
        axis.semilogy(run.iterations, -run.returns / optimum, **style, label=run.algo)
    axis.axhline(1.0, color="black", linewidth=0.8, linestyle=":", label="optimum")
    axis.set(xlabel="iteration", ylabel="cost / optimum", title="Training episodes, as logged")
    _legend(axis)


def _looks(runs: list[LearnedRun]) -> dict[str, dict[str, Any]]:
    """One for each rule."""
    common = {"markersize": 4.0, "linewidth": 1.0, "alpha": 0.8}
    return {
        rule: {**look(index), "marker": MARKERS[index % len(MARKERS)], **common}
        for index, rule in enumerate(dict.fromkeys(run.algo for run in runs))
    }


def _legend(axis: Any) -> None:
    """Each label once."""
    lines, labels = axis.get_legend_handles_labels()
    by_label = dict(zip(labels, lines, strict=True))
    axis.legend(by_label.values(), by_label.keys())
