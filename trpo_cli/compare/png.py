"""Figures as PNG, by matplotlib without a display: the same panels as `svg` draws."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trpo_cli.compare.figures import Band, Dots, Mark, Panel, Plot
from trpo_cli.compare.style import INK, RULE, Look
from trpo_cli.compare.ticks import linear_ticks, log_ticks, words

COLUMNS = 3
DPI = 180
INCH = 100.0  # units of a panel
GAP = 0.42
RC: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.color": INK,
}


def figure_png(plot: Plot) -> bytes:
    """A figure's panels side by side under its legend."""
    with rc_context(RC):
        columns = min(COLUMNS, len(plot.panels))
        rows = math.ceil(len(plot.panels) / columns)
        panel_height = max(p.height for p in plot.panels) / INCH
        top = 0.32 if plot.legend else 0.0
        width, height = columns * 3.6, rows * (panel_height + GAP) + top
        figure = Figure(figsize=(width, height), dpi=DPI)
        for i, panel in enumerate(plot.panels):
            left = 0.68
            if panel.rows:
                longest = max(len(r) for r in panel.rows)
                left = 0.12 if panel.names_above else 0.25 + 0.068 * longest
            row, column = divmod(i, columns)
            bottom = height - top - (row + 1) * (panel_height + GAP) + 0.5
            box = (column * 3.6 + left, bottom, 3.5 - left, panel_height - 0.36)
            axis = figure.add_axes(
                (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
            )
            _draw(axis, panel)
            at = ((column * 3.6 + 0.1) / width, (bottom + panel_height - 0.28) / height)
            figure.text(*at, panel.title, fontsize=9, fontweight="bold")
        if plot.legend:
            handles = [
                Line2D([], [], color=look.colour, linestyle=_dash(look), marker=look.marker)
                for look in plot.legend.values()
            ]
            figure.legend(handles, list(plot.legend), loc="upper left", ncols=8)
        out = io.BytesIO()
        FigureCanvasAgg(figure).print_png(out)
        return out.getvalue()


def _draw(axis: Any, panel: Panel) -> None:
    if panel.log_x:
        axis.set_xscale("log")
    if panel.log_y:
        axis.set_yscale("log")
    for mark in panel.marks:
        _mark(axis, mark)
    axis.set_xlim(panel.xlim)
    axis.set_ylim(panel.ylim)
    axis.grid(axis="x" if panel.rows else "both")
    axis.minorticks_off()
    axis.set_xticks(*_ticks(panel.xlim, panel.log_x, panel.columns))
    axis.set_yticks(*_ticks(panel.ylim, panel.log_y, panel.rows))
    axis.set_xlabel(panel.xlabel)
    axis.set_ylabel(panel.ylabel)
    if panel.names_above:
        axis.set_yticklabels([])
        for row, name in enumerate(panel.rows):
            size = min(8.0, 400.0 / len(name))
            place = (0.01, row - 0.36)
            axis.annotate(name, place, xycoords=("axes fraction", "data"), fontsize=size)


def _mark(axis: Any, mark: Mark) -> None:
    colour = mark.look.colour
    if isinstance(mark, Band):
        axis.fill_between(mark.x, mark.low, mark.high, color=colour, alpha=0.12, linewidth=0)
    elif isinstance(mark, Dots):
        face = "none" if mark.hollow else colour
        axis.plot(mark.x, mark.y, mark.look.marker, color=colour, markerfacecolor=face,
                  markersize=mark.size, alpha=mark.opacity, markeredgewidth=0.9)  # fmt: skip
    else:
        marker = mark.look.marker if mark.every is not None else ""
        axis.plot(np.asarray(mark.x), mark.y, color=colour, linestyle=_dash(mark.look),
                  linewidth=mark.width, alpha=mark.opacity, marker=marker, markersize=4.5,
                  markevery=mark.every)  # fmt: skip


def _ticks(ends: tuple[float, float], log: bool, names: list[str]) -> tuple[list[float], list[str]]:
    if names:
        return [float(i) for i in range(len(names))], names
    low, high = min(ends), max(ends)
    values = log_ticks(low, high) if log else linear_ticks(low, high)
    return values, [words(v) for v in values]


def _dash(look: Look) -> Any:
    return (0, look.dash) if look.dash else "-"
