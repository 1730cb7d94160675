"""The page: one HTML file with everything in it, readable in light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files

from trpo_cli.compare.drawing import Drawing
from trpo_cli.compare.formats import Table, to_html
from trpo_cli.compare.plots import updates_name
from trpo_cli.compare.results import Comparison
from trpo_cli.compare.style import COLOURS

# Where each table stands: behind the figure of this name.
PLACES = {"performance": "curves", "pairs": "final", "improvement": "across"}
PLACES |= {"aggregate": "across"}


def page(
    comparison: Comparison,
    tables: Sequence[Table],
    drawings: Sequence[Drawing],
    words: str,
    folders: Sequence[str],
) -> str:
    """The whole document. It asks the network for nothing."""
    style = (files("trpo_cli.compare") / "data" / "report.css").read_text(encoding="utf-8")
    names = [(d.plot.name, d.plot.title) for d in drawings]
    plots = {name for name, _ in names}
    body = [heading(comparison, words, folders)]
    for d in drawings:
        beside = [part for t in tables for part in parts_at(d.plot.name, t, comparison, plots)]
        body.append(section(d, beside, diagnosis(comparison, d.plot.name)))
    for t in tables:
        if t.name == "published":
            body.append(f'<section id="{t.name}">{to_html(t, "h2")}</section>\n')
            names.append((t.name, t.title))
    contents = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in names)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Comparison of {comparison.runs} runs</title>\n"
        f"<style>\n{colours()}{style}</style>\n</head>\n<body>\n"
        f"<nav>{contents}</nav>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def parts_at(name: str, table: Table, comparison: Comparison, plots: set[str]) -> list[Table]:
    """What of a table stands behind a figure: of the updates, the rows of its environment."""
    if table.name != "updates":
        return [table] if place(table, plots) == name else []
    envs = [e.env for e in comparison.envs if updates_name(e) == name]
    return [replace(table, rows=[g for g in table.rows if g.env == env]) for env in envs]


def place(table: Table, plots: set[str]) -> str:
    """The figure that a table belongs to, "final" where its own is not drawn. The published numbers
    have a section of their own."""
    name = table.name.replace("importance_", "settings_", 1)
    name = PLACES.get(name, name)
    return name if name in plots or name == "published" else "final"


def heading(comparison: Comparison, words: str, folders: Sequence[str]) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    where = ", ".join(folders[:4]) + (f" and {len(folders) - 4} more" if len(folders) > 4 else "")
    envs = ", ".join(e.env for e in comparison.envs)
    return (
        f"<header><h1>{escape(' / '.join(comparison.labels))}</h1>"
        f'<p class="facts">{escape(envs)} &middot; {comparison.runs} runs from '
        f"{escape(where)}</p></header>\n"
        f'<section id="verdict"><h2>Verdict</h2><p class="verdict">{escape(words)}</p>'
        + (f'<details open class="notes"><summary>Notes</summary><ul>{notes}</ul></details>'
           if notes else "")
        + "</section>\n"
    )  # fmt: skip


def section(drawing: Drawing, tables: Sequence[Table], extra: str) -> str:
    plot = drawing.plot
    panels = "".join(
        f"<figure><figcaption>{escape(panel.title)}</figcaption>{svg}</figure>"
        for panel, svg in zip(plot.panels, drawing.panels, strict=True)
    )
    keys = "".join(
        f"<li>{key}{escape(label)}</li>"
        for label, key in zip(plot.legend, drawing.keys, strict=True)
    )
    legend = f'<ul class="legend">{keys}</ul>' if keys else ""
    return (
        f'<section id="{plot.name}"><h2>{escape(plot.title)}</h2>{extra}{legend}'
        f'<div class="panels">{panels}</div><p class="caption">{escape(plot.caption)}</p>'
        f"{''.join(map(to_html, tables))}</section>\n"
    )


def diagnosis(comparison: Comparison, name: str) -> str:
    """What the rules found, in the section of an environment's updates."""
    for env in comparison.envs:
        if name != updates_name(env):
            continue
        items = "".join(
            f"<li><b>{escape(g.label)}</b>: {escape(found(g.diagnosis))}.</li>" for g in env.groups
        )
        return f'<ul class="diagnosis">{items}</ul>'
    return ""


def found(findings: Sequence[str]) -> str:
    return "; ".join(findings) or "the updates do what they should"


def colours() -> str:
    light = "".join(f"--c{i}:{a};" for i, (a, _) in enumerate(COLOURS))
    dark = "".join(f"--c{i}:{b};" for i, (_, b) in enumerate(COLOURS))
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
