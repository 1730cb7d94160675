"""The page: one HTML file with everything in it, readable in light and dark, wide and narrow.

First the answer, then the figures, then what the answer rests on. Without scripts, and on paper,
the drawings of matplotlib stand where the script draws figures that answer to a pointer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files

from trpo_cli.compare.charts import in_script, to_json
from trpo_cli.compare.drawing import Drawing
from trpo_cli.compare.films import Film, to_section
from trpo_cli.compare.formats import Table, to_html
from trpo_cli.compare.methods import marked
from trpo_cli.compare.panels import Panel
from trpo_cli.compare.ranking import caution, headline
from trpo_cli.compare.record import Made
from trpo_cli.compare.results import Comparison
from trpo_cli.compare.style import COLOURS, Look
from trpo_cli.compare.update_plots import updates_name
from trpo_cli.compare.verdict import reasoning
from trpo_cli.compare.wording import listed

# Where each table stands: behind the figure of this name.
PLACES = {"performance": "final", "pairs": "final", "improvement": "across", "aggregate": "across"}
PLACES |= {"reference": "curves"}
FIRST, LAST = "ranking", "published"
"""Tables with a place of their own."""
FEW_NOTES = 3
"""So many stand open: what was left out is part of the answer. So is what was assumed of other
tools' runs."""
FEW_PANELS = 3
"""So many fill a line even where it has room for more."""


def page(
    comparison: Comparison,
    tables: Sequence[Table],
    drawings: Sequence[Drawing],
    made: Made,
    films: Sequence[Film] = (),
) -> str:
    """The whole document. It asks the network for nothing."""
    names = [(d.plot.name, d.plot.title) for d in drawings]
    plots = {name for name, _ in names}
    looked = next(d.plot.legend for d in drawings if d.plot.name == "curves")
    keys = {label: key_again(f"key-curves-{i}") for i, label in enumerate(looked)}
    body = [heading(comparison, [t for t in tables if t.name == FIRST], keys, made)]
    for d in drawings:
        beside = [part for t in tables for part in parts_at(d.plot.name, t, comparison, plots)]
        body.append(section(d, beside, diagnosis(comparison, d.plot.name), comparison.options.axis))
    for t in tables:
        if t.name == LAST:
            body.append(f'<section id="{t.name}">{to_html(t, "h2")}</section>\n')
            names.append((t.name, t.title))
    if films:
        body.append(to_section(films))
        names.append(("videos", "Videos"))
    contents = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in names)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(headline(comparison))}</title>\n"
        f"<style>\n{data('uPlot.min.css')}\n{colours()}{data('report.css')}</style>\n"
        f"</head>\n<body>\n<nav>{contents}</nav>\n<main>\n{''.join(body)}</main>\n"
        f"{script(looked)}</body>\n</html>\n"
    )


def data(name: str) -> str:
    return (files("trpo_cli.compare") / "data" / name).read_text(encoding="utf-8")


def script(looked: dict[str, Look]) -> str:
    """uPlot with its licence, and what of this page it draws."""
    looks = {
        label: {"colour": look.number, "dash": list(look.dash)} for label, look in looked.items()
    }
    return (
        f'<script type="application/json" id="looks">{in_script(looks)}</script>\n'
        f"<script>\n/*!\n{data('uPlot.LICENSE')}\n*/\n{data('uPlot.iife.min.js')}</script>\n"
        f"<script>\n{data('report.js')}</script>\n"
    )


def parts_at(name: str, table: Table, comparison: Comparison, plots: set[str]) -> list[Table]:
    """What of a table stands behind a figure: of the updates, the rows of its environment."""
    if table.name == "updates":
        envs = [e.env for e in comparison.envs if updates_name(e) == name]
        return [replace(table, rows=[g for g in table.rows if g.env == e], name=name) for e in envs]
    place = table.name.replace("importance_", "settings_", 1)
    place = PLACES.get(place, place)
    if table.name in (FIRST, LAST):
        return []
    return [table] if name == (place if place in plots else "final") else []


def heading(
    comparison: Comparison, first: Sequence[Table], keys: dict[str, str], made: Made
) -> str:
    envs = ", ".join(e.env for e in comparison.envs)
    warning = caution(comparison)
    why = "".join(f"<p>{escape(sentence)}</p>" for sentence in reasoning(comparison))
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    count = len(comparison.notes)
    said = f"{count} note{'s' * (count > 1)}"
    assumed = any(g.group.tool for e in comparison.envs for g in e.groups)
    opened = " open" if count <= FEW_NOTES or assumed else ""
    return (
        f'<header id="verdict"><div><p class="facts">{escape(envs)} &middot; '
        f"{comparison.runs} runs &middot; {escape(made.date)}</p>"
        f"<h1>{unbroken(headline(comparison))}</h1>"
        + (f'<p class="warning">{escape(warning)}</p>' if warning else "")
        + "".join(to_html(t, "h2", keys) for t in first)
        + '</div><div class="grounds"><details class="why"><summary>The reasoning</summary>'
        + f"{why}</details>"
        + (f'<details class="why"{opened}><summary>{said} on the runs</summary><ul>{notes}</ul>'
           "</details>" if notes else "")
        + methods_of(made)
        + f'<p class="made"><code>{escape(made.command)}</code> trpo_cli {escape(made.version)}'
        "</p></div></header>\n"
    )  # fmt: skip


def methods_of(made: Made) -> str:
    """The methods paragraph, folded."""
    paragraphs = "".join(
        f"<p>{marked(p, escape, lambda name: f'<code>{escape(name)}</code>')}</p>"
        for p in made.methods
    )
    return f'<details class="why"><summary>Methods, for a paper</summary>{paragraphs}</details>'


def unbroken(text: str) -> str:
    """Text whose words with hyphens, such as Hopper-v4, stay on one line where they fit in it."""
    return re.sub(r"\S+-\S+", r"<span>\g<0></span>", escape(text))


def section(drawing: Drawing, tables: Sequence[Table], extra: str, axis: str) -> str:
    plot = drawing.plot
    names = {label: f"key-{plot.name}-{i}" for i, label in enumerate(plot.legend)}
    panels = "".join(
        figure(panel, svg, axis, names)
        for panel, svg in zip(plot.panels, drawing.panels, strict=True)
    )
    keys = "".join(
        f'<li><button type="button" disabled aria-pressed="true" data-group="{escape(label)}">'
        f'<svg id="{names[label]}" {key.removeprefix("<svg ")}{escape(label)}</button></li>'
        for label, key in zip(plot.legend, drawing.keys, strict=False)  # none without panels
    )
    bar = f'<div class="bar"><ul class="legend">{keys}</ul></div>' if keys else ""
    few = " lone few" if len(plot.panels) == 1 else " few" if len(plot.panels) <= FEW_PANELS else ""
    grid = f'<div class="panels{few}">{panels}</div>' if panels else ""
    beside = "".join(f"<div>{to_html(table)}</div>" for table in tables)
    return (
        f'<section id="{plot.name}"><h2>{escape(plot.title)}</h2>{extra}{bar}{grid}'
        f'<p class="caption">{escape(plot.caption)}</p>'
        f'<div class="tables">{beside}</div></section>\n'
    )


def key_again(name: str) -> str:
    """A key of a legend once more, elsewhere on the page."""
    return f'<svg width="40" height="13" aria-hidden="true"><use href="#{name}"/></svg>'


def figure(panel: Panel, svg: str, axis: str, names: Mapping[str, str]) -> str:
    """A drawing, and the data from which the script makes one that answers to a pointer. names: of
    the legend's keys, which stand again below the drawing on paper."""
    extra = ""
    if panel.chart is not None:
        shown = axis if axis in panel.chart.axes else next(iter(panel.chart.axes))
        more = {"title": panel.title, "unit": panel.ylabel, "log": panel.log_y, "axis": shown}
        keys = "".join(
            f"<span>{key_again(names[group])}{escape(group)}</span>" for group in panel.chart.groups
        )
        extra = (
            f'<p class="keys">{keys}</p>'
            f'<script type="application/json">{to_json(panel.chart, **more)}</script>'
        )
    return f"<figure><figcaption>{escape(panel.title)}</figcaption>{svg}{extra}</figure>"


def diagnosis(comparison: Comparison, name: str) -> str:
    """What the rules found, in the section of an environment's updates."""
    for env in comparison.envs:
        if name != updates_name(env):
            continue
        said: dict[str, list[str]] = {}
        for g in env.groups:
            said.setdefault(found(g.diagnosis), []).append(g.label)
        items = "".join(
            f"<li><b>{escape(listed(who))}</b>: {escape(what)}.</li>" for what, who in said.items()
        )
        return f'<ul class="diagnosis">{items}</ul>'
    return ""


def found(findings: Sequence[str]) -> str:
    return "; ".join(findings) or "the updates do what they should"


def colours() -> str:
    light = "".join(f"--c{i}:{a};" for i, (a, _) in enumerate(COLOURS))
    dark = "".join(f"--c{i}:{b};" for i, (_, b) in enumerate(COLOURS))
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
