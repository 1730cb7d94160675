"""Panels of lines as data, for the page to draw: each axis, and every line on one grid of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.metric import AXES
from trpo_cli.compare.ranking import FEW_RUNS
from trpo_cli.compare.results import Drawn, EnvResult
from trpo_cli.compare.trust_region import MEASURES, Measure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """kind: mean, run (a single one), low and high (ends of a band), bound (what was allowed).
    y: (points,), NaN where the group has no value."""

    group: str
    kind: str
    y: Floats


@dataclass(frozen=True)
class Mark:
    """A published number beside the curves over steps; std None where not given."""

    group: str
    x: float
    mean: float
    std: float | None


@dataclass(frozen=True)
class Chart:
    """axes: axis -> (x (points,), lines)."""

    axes: Mapping[str, tuple[Floats, Sequence[Line]]]
    marks: Sequence[Mark] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """Those that have a line."""
        _, lines = next(iter(self.axes.values()))
        return list(dict.fromkeys(line.group for line in lines))


def chart_of_curves(env: EnvResult, marks: Sequence[Mark]) -> Chart:
    """Axes along which every group has a curve."""
    axes = {}
    for axis in AXES:
        if all(axis in g.curves for g in env.groups):
            parts = [(g.label, g.curves[axis].x, lines_of(g.curves[axis])) for g in env.groups]
            axes[axis] = on_one_grid(parts)
    return Chart(axes, marks)


def lines_of(drawn: Drawn) -> list[tuple[str, Floats]]:
    """Single runs where they are few, a band where there are enough."""
    if len(drawn.curves) >= FEW_RUNS:
        return [("low", drawn.low), ("high", drawn.high), ("mean", drawn.mean)]
    singles = [("run", one) for one in drawn.curves] if len(drawn.curves) > 1 else []
    return [*singles, ("mean", drawn.mean)]


def chart_of_measure(env: EnvResult, measure: Measure) -> Chart:
    axes = {}
    for axis in AXES:
        parts = []
        for g in env.groups:
            panel, bound = g.panels.get(measure.name), g.panels.get("allowed")
            if panel is None:
                continue
            lines = [("low", panel.low), ("high", panel.high), ("mean", panel.mean)]
            parts.append((g.label, panel.places[axis], lines))
            if measure is MEASURES[0] and bound is not None:
                parts.append((g.label, bound.places[axis], [("bound", bound.mean)]))
        axes[axis] = on_one_grid(parts)
    return Chart(axes)


def on_one_grid(
    parts: Sequence[tuple[str, Floats, Sequence[tuple[str, Floats]]]],
) -> tuple[Floats, list[Line]]:
    """Every x of every group, and the groups' lines at all of them, linear between their own."""
    grid = np.unique(np.concatenate([x for _, x, _ in parts]))
    return grid, [
        Line(group, kind, np.interp(grid, x, y, left=np.nan, right=np.nan))
        for group, x, lines in parts
        for kind, y in lines
    ]


def to_json(chart: Chart, **more: Any) -> str:
    """For a script element: no text of a run can end it. Null for NaN."""
    axes = {
        axis: {
            "x": numbers(x, 7),
            "lines": [{"group": k.group, "kind": k.kind, "y": numbers(k.y)} for k in lines],
        }
        for axis, (x, lines) in chart.axes.items()
    }
    content = {**more, "axes": axes, "marks": [asdict(mark) for mark in chart.marks]}
    return in_script(content)


def numbers(values: Floats, digits: int = 5) -> list[float | None]:
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values.tolist()]


def in_script(content: Any) -> str:
    """JSON in which no "<", ">" or "&" is left."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
