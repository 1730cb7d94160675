"""Figures by matplotlib, without a display: as files, and as panels in the colours of the page."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from trpo_cli.compare.panels import LETTER, WIDTH, Panel, Plot
from trpo_cli.compare.record import KINDS
from trpo_cli.compare.style import COLOURS, INK, RULE, Look

COLUMNS = 3
RIGHT, GAP = 0.12, 0.1
"""Widths of the room right of a panel's axes, and between two panels, in inches."""
TITLE, FOOT = 0.28, 0.46
"""Heights of the title above a panel's axes, and of the labels below them."""
POINTS = 72.0
"""SVG units in an inch."""
RC: dict[Any, Any] = {
    "font.size": 7.5,
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "xtick.color": INK,
    "xtick.bottom": False,
    "ytick.color": INK,
    "ytick.left": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Drawing:
    """A plot as it is written. files: kind -> content. panels, keys: SVG elements in the colours of
    the page, one for each panel and one for each group of the legend."""

    plot: Plot
    files: Mapping[str, bytes]
    panels: list[str]
    keys: list[str]


def draw(
    plot: Plot,
    kinds: Collection[str] = KINDS,
    width: float | None = None,
    columns: int | None = None,
) -> Drawing:
    """Draw a figure once; the page's panels are cut from it. Nothing of one without panels.

    kinds: of files, of `KINDS`. width: of the figure in inches, with as many panels beside each
    other as have about their usual width; by default up to three of just that. columns: panels
    beside each other, however narrow that makes them.
    """
    if not plot.panels:
        return Drawing(plot, {}, [], [])
    with rc_context({**RC, "svg.hashsalt": plot.name}):
        if columns is None:
            columns = COLUMNS if width is None else max(1, round(width / (WIDTH + GAP)))
        columns = min(columns, len(plot.panels))
        width = columns * (WIDTH + GAP) if width is None else width
        each = width / columns - GAP
        lines = [plot.panels[i : i + columns] for i in range(0, len(plot.panels), columns)]
        heights = [TITLE + max(p.height for p in line) + FOOT for line in lines]
        beside = max(1, int(width / (0.55 + LETTER * max(map(len, plot.legend), default=0))))
        top = 0.04 + 0.18 * math.ceil(len(plot.legend) / beside)
        height = top + sum(heights)
        figure, boxes = Figure(figsize=(width, height)), []
        for i, panel in enumerate(plot.panels):
            x, y = (i % columns) * (each + GAP), top + sum(heights[: i // columns]) + TITLE
            left, bottom = (x + panel.left) / width, 1.0 - (y + panel.height) / height
            size = ((each - RIGHT - panel.left) / width, panel.height / height)
            axis = figure.add_axes((left, bottom, *size))
            axis.set_gid(f"panel{i}")
            _fill(axis, panel)
            title = figure.text((x + 0.06) / width, 1.0 - (y - 0.1) / height, panel.title)
            title.set(fontsize=8.0, fontweight="bold", gid=None if i else "titles")
            box = (x, y - 0.06, each + GAP / 2, panel.height + FOOT)
            boxes.append(" ".join(f"{POINTS * v:g}" for v in box))
        if plot.legend:
            handles = [_handle(look, (0.0, 1.0)) for look in plot.legend.values()]
            figure.legend(
                handles, list(plot.legend), loc="upper left", ncols=beside, borderaxespad=0
            )
        svg = _svg(figure, plot.title, plot.caption)
        files = {"svg": svg.encode()} if "svg" in kinds else {}
        files |= {"pdf": _pdf(figure, plot)} if "pdf" in kinds else {}
        files |= {"png": _png(figure)} if "png" in kinds else {}  # last: it changes the resolution
        keys = [_key(look, f"{plot.name}{i}") for i, look in enumerate(plot.legend.values())]
    return Drawing(plot, files, _cut(svg, plot, boxes), keys)


def _fill(axis: Any, panel: Panel) -> None:
    axis.set(xscale="log" if panel.log_x else "linear", yscale="log" if panel.log_y else "linear")
    axis.set(xlim=panel.xlim, ylim=panel.ylim, xlabel=panel.xlabel, ylabel=panel.ylabel)
    _ticks(axis.xaxis, panel.log_x, panel.columns)
    _ticks(axis.yaxis, panel.log_y, panel.rows)
    axis.grid(axis="x" if panel.rows else "both")
    for mark in panel.marks:
        axis.add_artist(mark)
    if panel.names_above:
        axis.set_yticklabels([])
        for row, name in enumerate(panel.rows):
            size = min(7.5, 330.0 / len(name))
            place = (0.01, row - 0.36)
            axis.annotate(name, place, xycoords=("axes fraction", "data"), fontsize=size)


def _ticks(axis: Any, log: bool, names: list[str]) -> None:
    if names:
        axis.set_ticks(range(len(names)), names)
        return
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if log:
        # Powers of ten; where fewer than two are seen, 1, 2 and 5 times them as well.
        low, high = (math.log10(end) for end in sorted(axis.get_view_interval()))
        few = math.floor(high) - math.ceil(low) < 1
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def words(value: float) -> str:
    """2500 -> 2500, 25000 -> 25k, 1e6 -> 1M, 1e-5 -> 1e-5."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.4g}M"
    if size >= 1e4:
        return f"{value / 1e3:.4g}k"
    return f"{value:.4g}".replace("e-0", "e-")


def _handle(look: Look, ends: tuple[float, float]) -> Line2D:
    """A group's line and marker."""
    return Line2D(
        [ends[0], sum(ends) / 2, ends[1]], [0.5] * 3, color=look.colour, linestyle=look.line,
        marker=look.marker, markersize=5.0, markevery=[1], linewidth=1.8,
    )  # fmt: skip


def _key(look: Look, name: str) -> str:
    with rc_context({"svg.hashsalt": name}):
        figure = Figure(figsize=(36 / POINTS, 12 / POINTS), facecolor="none")
        figure.add_artist(_handle(look, (0.03, 0.97)))
        svg = _svg(figure)
    inner = svg[svg.index('<g id="figure_1">') : svg.rindex("</svg>")]
    return (
        '<svg viewBox="0 0 36 12" width="40" height="13" aria-hidden="true">'
        f"{_for_page(inner)}</svg>"
    )


def _svg(figure: Figure, title: str = "", caption: str = "") -> str:
    out = io.StringIO()
    about = {"Title": title, "Description": caption, "Date": None}
    FigureCanvasSVG(figure).print_svg(out, metadata=about)
    return out.getvalue().replace("<svg ", '<svg role="img" ', 1)


def _pdf(figure: Figure, plot: Plot) -> bytes:
    """With its fonts as TrueType: journals refuse Type 3."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf  # a third of the start-up

    out = io.BytesIO()
    about = {"Title": plot.title, "Subject": plot.caption, "CreationDate": None}
    FigureCanvasPdf(figure).print_pdf(out, metadata=about)
    return out.getvalue()


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.set_dpi(180)
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()


def _cut(svg: str, plot: Plot, boxes: list[str]) -> list[str]:
    """The groups of the axes, each in an element of its own. What they refer to by name, markers
    and clipping paths, stands in any of them: the page is one document."""
    starts = [svg.index(f'<g id="panel{i}">') for i in range(len(plot.panels))]
    starts.append(svg.index('<g id="titles">'))
    clips = svg[svg.rindex("<defs>") : svg.rindex("</svg>")]
    found = []
    for i, (panel, box) in enumerate(zip(plot.panels, boxes, strict=True)):
        inner = svg[starts[i] : starts[i + 1]] + ("" if i else clips)
        names = ", ".join(panel.rows or plot.legend)
        about = f"{panel.ylabel or 'rows'} against {panel.xlabel}" + (names and f": {names}")
        found.append(
            f'<svg viewBox="{box}" role="img" class="panel"><title>{html.escape(panel.title)}'
            f"</title><desc>{html.escape(about)}</desc>{_for_page(inner)}</svg>"
        )
    return found


def _for_page(svg: str) -> str:
    """Exchange the colours of a file for the page's, which are others in the dark, and leave out
    the names of groups, which are the same in every figure."""
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    names = {INK: "ink", RULE: "rule", **{light: f"c{i}" for i, (light, _) in enumerate(COLOURS)}}
    for colour, name in names.items():
        svg = svg.replace(f": {colour}", f": var(--{name})")
    return svg
