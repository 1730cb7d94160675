"""Panels as SVG text: quick to write, small, and in the colours of the page around them."""

from __future__ import annotations

import html
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from trpo_cli.compare.figures import LETTER, WIDTH, Band, Dots, Mark, Panel, Plot
from trpo_cli.compare.style import COLOURS, INK, RULE, Look
from trpo_cli.compare.ticks import linear_ticks, log_ticks, words

TOP, BOTTOM, RIGHT = 8.0, 38.0, 8.0
SHAPES = {
    "o": "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z",
    "s": "M-3.1-3.1h6.2v6.2h-6.2z",
    "^": "M0-4l4 7.2h-8z",
    "v": "M0 4l4-7.2h-8z",
    "D": "M0-4.2l4.2 4.2-4.2 4.2-4.2-4.2z",
    "P": "M-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
    "X": "M-3-4l3 2.6 3-2.6 1 1-2.6 3 2.6 3-1 1-3-2.6-3 2.6-1-1 2.6-3-2.6-3z",
}

Scale = Callable[[ArrayLike], np.ndarray]


def panel_svg(panel: Panel, number: str) -> str:
    """One panel, 350 units wide. number: unique on the page, for its clipping path."""
    left = 52.0
    if panel.rows:
        left = 10.0 if panel.names_above else 12.0 + LETTER * max(len(r) for r in panel.rows)
    right, bottom = WIDTH - RIGHT, panel.height - BOTTOM
    x = _scale(panel.xlim, (left, right), panel.log_x)
    y = _scale(panel.ylim, (bottom, TOP), panel.log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {panel.height:g}" '
        f'role="img" class="panel"><title>{html.escape(panel.title)}</title>'
        f'<clipPath id="clip{number}"><rect x="{left:g}" y="{TOP - 4:g}" '
        f'width="{right - left + 4:g}" height="{bottom - TOP + 4:g}"/></clipPath>',
        *_x_axis(panel, x, bottom),
        *_y_axis(panel, y, left, right),
        f'<g clip-path="url(#clip{number})">',
        *(_mark(mark, x, y) for mark in panel.marks),
        f'</g><path class="axis" d="M{left:g} {TOP:g}V{bottom:g}H{right:g}"/>',
    ]
    return "".join(parts) + "</svg>"


def figure_svg(plot: Plot, columns: int = 3) -> str:
    """A figure's panels side by side under its legend, with colours of its own: a file."""
    columns = min(columns, len(plot.panels))
    heights = [
        max(p.height for p in plot.panels[i : i + columns]) + 30.0
        for i in range(0, len(plot.panels), columns)
    ]
    top = 26.0 if plot.legend else 4.0
    width, height = columns * (WIDTH + 16.0), top + sum(heights)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}"><style>{FILE_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
    ]
    place = 8.0
    for label, look in plot.legend.items():
        parts.append(f'<g transform="translate({place:g} 6)">{swatch(look)}'
                     f'<text x="45" y="11">{html.escape(label)}</text></g>')  # fmt: skip
        place += 62.0 + 6.5 * len(label)
    for i, panel in enumerate(plot.panels):
        at_x = (i % columns) * (WIDTH + 16.0) + 8.0
        at_y = top + sum(heights[: i // columns])
        parts.append(f'<text class="title" x="{at_x:g}" y="{at_y + 14:g}">'
                     f"{html.escape(panel.title)}</text>")  # fmt: skip
        inner = panel_svg(panel, f"{plot.name}{i}")
        parts.append(inner.replace("<svg ", f'<svg x="{at_x:g}" y="{at_y + 22:g}" width="{WIDTH:g}"'
                                   f' height="{panel.height:g}" ', 1))  # fmt: skip
    text = "".join(parts) + "</svg>\n"
    text = text.replace("var(--ink)", INK).replace("var(--rule)", RULE)
    for k, (colour, _) in enumerate(COLOURS):
        text = text.replace(f"var(--c{k})", colour)
    return text


STYLE = (
    ".panel text,.key text{font-size:10.5px;fill:var(--ink)}"
    ".panel .grid{stroke:var(--rule);stroke-width:.7;fill:none}"
    ".panel .axis{stroke:var(--ink);stroke-width:.9;fill:none}"
)
FILE_STYLE = (
    "text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:11px;fill:var(--ink)}"
    ".title{font-weight:bold;font-size:12px}" + STYLE
)


def swatch(look: Look) -> str:
    """A group's line and marker, 40 by 14."""
    colour = _colour(look)
    return (
        f'<path d="M1 7h38" fill="none" stroke="{colour}" stroke-width="2"{_dash(look)}/>'
        f'<path transform="translate(20 7)" d="{SHAPES[look.marker]}" fill="{colour}"/>'
    )


def _mark(mark: Mark, x: Scale, y: Scale) -> str:
    colour = _colour(mark.look)
    if isinstance(mark, Band):
        there, back = _points(x(mark.x), y(mark.high)), _points(x(mark.x), y(mark.low))
        path = "L".join([*there, *reversed(back)])
        return f'<path d="M{path}z" fill="{colour}" fill-opacity=".12"/>'
    points = _points(x(mark.x), y(mark.y))
    if isinstance(mark, Dots):
        style = f'fill="{colour}"'
        if mark.hollow:
            style = f'fill="none" stroke="{colour}" stroke-width="1.2"'
        return _markers(points, mark.look, mark.size / 7.0, f'{style} opacity="{mark.opacity:g}"')
    line = (
        f'<path d="M{"L".join(points)}" fill="none" stroke="{colour}" '
        f'stroke-width="{mark.width:g}" opacity="{mark.opacity:g}" stroke-linejoin="round"'
        f"{_dash(mark.look)}/>"
    )
    if mark.every is not None:
        first, step = mark.every
        line += _markers(points[first::step], mark.look, 0.85, f'fill="{colour}"')
    return line


def _markers(points: list[str], look: Look, size: float, style: str) -> str:
    shape = f'{SHAPES[look.marker]}" {style}'
    return "".join(
        f'<path transform="translate({p}) scale({size:.2g})" d="{shape}/>' for p in points
    )


def _x_axis(panel: Panel, x: Scale, bottom: float) -> list[str]:
    parts = []
    for value, name in _ticks(panel.xlim, panel.log_x, panel.columns, 5):
        at = float(x(value))
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP:g}V{bottom:g}"/>')
        parts.append(_text(at, bottom + 14, name, "middle"))
    middle = 0.5 * float(x(panel.xlim[0]) + x(panel.xlim[1]))
    if panel.log_x:
        middle = 0.5 * (float(x(panel.xlim[0])) + float(x(panel.xlim[1])))
    return [*parts, _text(middle, bottom + 31, panel.xlabel, "middle")]


def _y_axis(panel: Panel, y: Scale, left: float, right: float) -> list[str]:
    parts = []
    for value, name in _ticks(panel.ylim, panel.log_y, panel.rows, 5):
        at = float(y(value))
        if not panel.rows:
            parts.append(f'<path class="grid" d="M{left:g} {at:.1f}H{right:g}"/>')
        if panel.names_above:
            up = abs(float(y(0.5) - y(0.0)))
            size = min(10.5, (right - left) / (0.62 * len(name)))
            style = f'style="font-size:{size:.1f}px" '
            parts.append(_text(left + 4, at - up + 6.0, name, "start", style))
        else:
            parts.append(_text(left - 6, at + 3.6, name, "end"))
    if panel.ylabel:
        middle = 0.5 * (panel.height - BOTTOM + TOP)
        turned = f'transform="rotate(-90 11 {middle:g})" '
        parts.append(_text(11, middle, panel.ylabel, "middle", turned))
    return parts


def _ticks(
    ends: tuple[float, float], log: bool, names: list[str], wanted: int
) -> list[tuple[float, str]]:
    if names:
        return [(float(i), name) for i, name in enumerate(names)]
    low, high = min(ends), max(ends)
    values = log_ticks(low, high) if log else linear_ticks(low, high, wanted)
    return [(v, words(v)) for v in values]


def _scale(ends: tuple[float, float], place: tuple[float, float], log: bool) -> Scale:
    low, high = (math.log10(e) for e in ends) if log else ends

    def scale(values: ArrayLike) -> np.ndarray:
        v = np.asarray(values, dtype=np.float64)
        if log:
            v = np.log10(np.maximum(v, 10.0 ** (low - 1.0)))
        return place[0] + (v - low) / (high - low) * (place[1] - place[0])

    return scale


def _points(x: np.ndarray, y: np.ndarray) -> list[str]:
    y = np.clip(y, -2000.0, 4000.0)  # far outside; kept short
    return [f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)
            if math.isfinite(b)]  # fmt: skip


def _colour(look: Look) -> str:
    return "var(--ink)" if look.number < 0 else f"var(--c{look.number})"


def _dash(look: Look) -> str:
    return f' stroke-dasharray="{" ".join(f"{1.4 * v:g}" for v in look.dash)}"' if look.dash else ""


def _text(x: float, y: float, text: str, anchor: str, extra: str = "") -> str:
    return f'<text {extra}x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
