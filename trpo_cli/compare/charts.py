"""Panels of lines as data, for the page to draw: each axis, and every line on one grid of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
    """A number beside the curves: published, or with `final` a group's final performance. std: None
    where not given."""

    group: str
    x: float
    mean: float
    std: float | None
    final: bool = False


@dataclass(frozen=True)
class Axis:
    """A horizontal axis. x: (points,). lines: on it. marks: beside them."""

    x: Floats
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Chart:
    """axes: of `AXES` those along which every group has a line."""

    axes: Mapping[str, Axis]

    @property
    def groups(self) -> list[str]:
        """Those that have a line."""
        lines = next(iter(self.axes.values())).lines
        return list(dict.fromkeys(line.group for line in lines))


def chart_of_curves(env: EnvResult, marks: Mapping[str, Sequence[Mark]]) -> Chart:
    """marks: axis -> what stands beside the curves there."""
    axes = {}
    for axis in AXES:
        if all(axis in g.curves for g in env.drawn):
            parts = [(g.label, g.curves[axis].x, lines_of(g.curves[axis])) for g in env.drawn]
            axes[axis] = Axis(*on_one_grid(parts), marks.get(axis, ()))
    return Chart(axes)


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
        axes[axis] = Axis(*on_one_grid(parts))
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
        name: {
            "x": numbers(axis.x, 7),
            "lines": [{"group": k.group, "kind": k.kind, "y": numbers(k.y)} for k in axis.lines],
            "marks": [asdict(mark) for mark in axis.marks],
        }
        for name, axis in chart.axes.items()
    }
    return in_script({**more, "axes": axes})


def numbers(values: Floats, digits: int = 5) -> list[float | None]:
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values.tolist()]


def in_script(content: Any) -> str:
    """JSON in which no "<", ">" or "&" is left."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
