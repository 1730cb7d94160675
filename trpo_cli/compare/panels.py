"""What stands in a figure: panels of lines, bands and dots, which `drawing` draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from numpy.typing import ArrayLike

from trpo_cli.compare.charts import Chart
from trpo_cli.compare.results import EnvResult
from trpo_cli.compare.style import PLAIN, Look
from trpo_cli.compare.wording import runs

WIDTH = 3.5
"""Of a panel, in inches."""
LETTER = 0.062
"""Mean width of a letter of a tick's label."""
AXIS_WORDS = {"steps": "environment steps", "seconds": "wall-clock seconds", "updates": "updates"}


@dataclass(frozen=True)
class Panel:
    """xlim, ylim: what is seen. rows, columns: names along y or x instead of numbers, at 0, 1, ...
    (rows from the top). height: inches of the axes. chart: the same for the page, with every axis,
    None for a panel of which there is but the drawing."""

    title: str
    marks: Sequence[Artist]
    xlabel: str
    ylabel: str
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    log_x: bool = False
    log_y: bool = False
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    height: float = 2.0
    chart: Chart | None = None

    @property
    def names_above(self) -> bool:
        """Whether the rows' names are too long to stand left of them."""
        return too_long(self.rows)

    @property
    def left(self) -> float:
        """Room for the names or numbers along y."""
        if self.names_above:
            return 0.1
        return 0.15 + LETTER * max(map(len, self.rows)) if self.rows else 0.58


@dataclass(frozen=True)
class Plot:
    """A figure: its panels, what a reader must know, the groups of its legend, and whether it is
    one that people take elsewhere."""

    name: str
    title: str
    caption: str
    panels: list[Panel]
    legend: dict[str, Look]
    main: bool = True


def line(
    x: ArrayLike,
    y: ArrayLike,
    look: Look,
    width: float = 1.5,
    opacity: float = 1.0,
    every: tuple[int, int] | None = None,
) -> Line2D:
    """every: (first, step) of the points with a marker, None for none."""
    return Line2D(
        np.asarray(x), np.asarray(y), color=look.colour, linestyle=look.line, linewidth=width,
        alpha=opacity, marker=look.marker if every else "", markersize=3.4, markevery=every,
    )  # fmt: skip


def band(x: ArrayLike, low: ArrayLike, high: ArrayLike, look: Look) -> Polygon:
    there, back = np.column_stack([x, high]), np.column_stack([x, low])[::-1]
    corners = np.concatenate([there, back])
    return Polygon(
        corners[np.isfinite(corners).all(axis=1)], facecolor=look.colour, alpha=0.12, linewidth=0
    )


def dots(
    x: ArrayLike, y: ArrayLike, look: Look, size: float = 4.0, opacity: float = 1.0,
    hollow: bool = False,
) -> Line2D:  # fmt: skip
    return Line2D(
        np.asarray(x), np.asarray(y), color=look.colour, linestyle="", alpha=opacity,
        marker=look.marker, markersize=size, markeredgewidth=0.8 if hollow else 0.0,
        markerfacecolor="none" if hollow else look.colour,
    )  # fmt: skip


def bar(value: float, low: float, high: float, row: float, look: Look) -> list[Line2D]:
    """An estimate and its interval along x."""
    interval = [] if math.isnan(low) else [line([low, high], [row, row], look.solid)]
    return [*interval, dots([value], [row], look, 5.0)]


def rule_at(x: float, rows: int) -> Line2D:
    """A vertical line through all rows."""
    return line([x, x], [-0.6, rows - 0.4], Look(PLAIN.number, (4, 3), "o"), 0.8)


def row_panel(
    title: str, marks: Sequence[Artist], rows: Sequence[str], xlabel: str, xlim: tuple[float, float]
) -> Panel:
    """A panel of named rows, the first at the top."""
    height = 0.1 + (0.4 if too_long(rows) else 0.26) * len(rows)
    ylim = (len(rows) - 0.4, -0.6)
    return Panel(title, marks, xlabel, "", xlim, ylim, rows=list(rows), height=height)


def too_long(names: Sequence[str]) -> bool:
    return max((len(name) for name in names), default=0) * LETTER > 0.36 * WIDTH


def limits(low: float, high: float, room: float = 0.06, log: bool = False) -> tuple[float, float]:
    """A little more than [low, high]; around a single value, something that is not empty."""
    if log:
        low, high = math.log10(low), math.log10(high)
        wider = room * max(high - low, 0.5)
        return 10.0 ** (low - wider), 10.0 ** (high + wider)
    if low == high == 0.0:
        return -0.05, 1.0
    if high <= low:
        wider = 0.05 * abs(low) or 0.5
        return low - wider, high + wider
    return low - room * (high - low), high + room * (high - low)


def spread_of(values: Sequence[ArrayLike]) -> tuple[float, float]:
    """Lowest and highest finite value."""
    found = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
    found = found[np.isfinite(found)]
    return float(found.min()), float(found.max())


def count(env: EnvResult) -> str:
    """How many runs stand behind a panel."""
    sizes = [len(g.group.runs) for g in env.groups]
    if len(set(sizes)) == 1:
        return runs(sizes[0]) + (" each" if len(sizes) > 1 else "")
    return f"{min(sizes)} to {max(sizes)} runs"
