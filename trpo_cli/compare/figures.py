"""What stands in each figure: lines, bands and dots as data, drawn by `svg` and by `png`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from trpo_cli.compare.style import PLAIN, Look

WIDTH, HEIGHT = 350.0, 250.0
LETTER = 5.6
"""Mean width of a letter of a tick's label, in units of a panel."""


@dataclass(frozen=True)
class Line:
    """look: colour and dash. every: (first, step) of the points with a marker, None for none."""

    x: ArrayLike
    y: ArrayLike
    look: Look
    width: float = 1.8
    opacity: float = 1.0
    every: tuple[int, int] | None = None


@dataclass(frozen=True)
class Band:
    x: ArrayLike
    low: ArrayLike
    high: ArrayLike
    look: Look


@dataclass(frozen=True)
class Dots:
    x: ArrayLike
    y: ArrayLike
    look: Look
    size: float = 5.0
    opacity: float = 1.0
    hollow: bool = False


Mark = Line | Band | Dots


@dataclass(frozen=True)
class Panel:
    """xlim, ylim: what is seen. rows, columns: names along y or x instead of numbers, at 0, 1,
    ... (rows from the top). height: in units of which the width has 350."""

    title: str
    marks: list[Mark]
    xlabel: str
    ylabel: str
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    log_x: bool = False
    log_y: bool = False
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    height: float = HEIGHT

    @property
    def names_above(self) -> bool:
        """Whether the rows' names are too long to stand left of them."""
        return too_long(self.rows)


@dataclass(frozen=True)
class Plot:
    """A figure: its panels, what a reader must know, the groups of its legend, and whether it is
    also written as PNG."""

    name: str
    title: str
    caption: str
    panels: list[Panel]
    legend: dict[str, Look]
    png: bool = True


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


def bar(value: float, low: float, high: float, row: float, look: Look) -> list[Mark]:
    """An estimate and its interval along x."""
    solid = Look(look.number, (), look.marker)
    line = [] if math.isnan(low) else [Line([low, high], [row, row], solid)]
    return [*line, Dots([value], [row], look, 7.0)]


def row_panel(
    title: str, marks: list[Mark], rows: Sequence[str], xlabel: str, xlim: tuple[float, float]
) -> Panel:
    """A panel of named rows, the first at the top."""
    ylim = (len(rows) - 0.4, -0.6)
    height = 58.0 + (40.0 if too_long(rows) else 26.0) * len(rows)
    return Panel(title, marks, xlabel, "", xlim, ylim, rows=list(rows), height=height)


def too_long(names: Sequence[str]) -> bool:
    return max((len(name) for name in names), default=0) * LETTER > 0.36 * WIDTH


def rule_at(x: float, rows: int) -> Line:
    """A vertical line through all rows."""
    return Line([x, x], [-0.6, rows - 0.4], Look(PLAIN.number, (4, 3), "o"), 1.0)


def spread_of(values: Sequence[ArrayLike]) -> tuple[float, float]:
    """Lowest and highest finite value."""
    found = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
    found = found[np.isfinite(found)]
    return float(found.min()), float(found.max())
