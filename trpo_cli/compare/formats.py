"""A table, defined once, and how it is written: text, CSV, JSON, Markdown and HTML."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trpo_cli.compare.alignment import aligned
from trpo_cli.compare.statistics import Interval
from trpo_cli.compare.wording import bounds, number
from trpo_cli.untrusted import markdown, spreadsheet


def in_words(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(number(v) for v in value)
    return value or "-"


@dataclass(frozen=True)
class Column:
    """key: in files, "" where only people read it. title: for people, "" where only files have it.
    value: of a row. words: how people read the value."""

    key: str
    title: str
    value: Callable[[Any], Any]
    words: Callable[[Any], str] = in_words


def interval(get: Callable[[Any], Any], write: Callable[[float], str] = number) -> list[Column]:
    """Of bounds `low` and `high`: one column for people, two in files."""
    return [
        Column("", "95% interval", get, lambda found: bounds(found, write)),
        Column("low", "", lambda row: get(row).low),
        Column("high", "", lambda row: get(row).high),
    ]


@dataclass(frozen=True)
class Seen:
    """A column in words. number: its values are numbers, whose points stand below each other."""

    key: str
    title: str
    cells: list[str]
    number: bool

    def aligned(self, blank: str = " ", small: str = " ") -> list[str]:
        return aligned(self.cells, blank, small) if self.number else self.cells


@dataclass(frozen=True)
class Table:
    """name: of the file. caption: what a reader must know beside it. rows: records of results,
    which the columns take apart. part: the key of a column that heads the rows which share it,
    where people read it. leads: rows to be marked."""

    name: str
    title: str
    caption: str
    columns: list[Column]
    rows: Sequence[Any]
    part: str = ""
    leads: Callable[[Any], bool] = lambda row: False

    def seen(self, parted: bool = False) -> list[Seen]:
        """The columns that people read, in words: those that say something anywhere. parted:
        without the one that heads the rows."""
        found = []
        for column in self.columns:
            if parted and column.key and column.key == self.part:
                continue
            values = [column.value(row) for row in self.rows]
            cells = [column.words(value) for value in values]
            if column.title and any(cell != "-" for cell in cells):
                text = any(isinstance(value, (str, list)) for value in values)
                found.append(Seen(column.key, column.title, cells, not text))
        return found

    def parts(self) -> list[str]:
        """Of each row what heads it; empty strings in a table without parts."""
        found = [c for c in self.columns if c.key == self.part and self.part]
        return [found[0].words(found[0].value(row)) if found else "" for row in self.rows]

    def raw(self) -> list[dict[str, Any]]:
        """Every row unrounded. An interval of the key k becomes k_mean, k_std, k_low, k_high; a
        list is written as text."""
        return [self._raw(row) for row in self.rows]

    def _raw(self, row: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for column in self.columns:
            value, key = column.value(row), column.key
            if isinstance(value, Interval) and key:
                found |= {f"{key}_mean": value.value, f"{key}_std": value.std}
                found |= {f"{key}_low": value.low, f"{key}_high": value.high}
            elif key:
                joined = isinstance(value, list)
                found[key] = " ".join(f"{v:.6g}" for v in value) if joined else value
        return found


def to_text(table: Table, room: int = 10**6) -> str:
    """For a terminal of `room` columns: what does not fit is left out from the right."""
    columns = [[c.title, *c.aligned()] for c in table.seen(parted=True)]
    widths = [max(map(len, column)) for column in columns]
    while len(widths) > 2 and sum(widths) + 2 * len(widths) > room:
        widths.pop()
    rows = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*columns, strict=True)]
    parts = table.parts()
    lines = rows[:1]
    for i, row in enumerate(rows[1:]):
        if parts[i] and parts[i] not in parts[:i]:
            lines.append(parts[i])
        lines.append(row)
    return "\n".join(lines)


def to_csv(table: Table) -> str:
    def plain(value: Any) -> str:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.8g}"
        return "" if value is None else spreadsheet(str(value))

    out, rows = io.StringIO(), table.raw()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([map(plain, rows[0]), *(map(plain, row.values()) for row in rows)])
    return out.getvalue()


def to_json(table: Table) -> list[dict[str, Any]]:
    """Null where there is no number, or an infinite one."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [{key: plain(value) for key, value in row.items()} for row in table.raw()]


def to_markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(markdown, cells)) + " |"

    columns = table.seen()
    rule = "|" + "".join("---:|" if c.number else "---|" for c in columns)
    rows = map(line, zip(*(c.cells for c in columns), strict=True))
    lines = [line([c.title for c in columns]), rule, *rows]
    head = f"## {markdown(table.title)}\n\n{markdown(table.caption)}\n\n"
    return head + "\n".join(lines) + "\n"


LONG = 30
"""Rows of a table on the page that are seen at once; more fold out."""
FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"
BLANKS = re.compile(f"[{FIGURE_SPACE}{POINT_SPACE}]+")


def unseen(blanks: re.Match[str]) -> str:
    """Digits and points that take their room and are not seen: in many fonts the spaces that should
    be as wide are not."""
    signs = blanks[0].replace(FIGURE_SPACE, "0").replace(POINT_SPACE, ".")
    return f'<i aria-hidden="true">{signs}</i>'


def to_html(table: Table, heading: str = "h3", keys: Mapping[str, str] | None = None) -> str:
    """keys: markup before the name of a group."""
    title, columns = html.escape(table.title), table.seen(parted=True)

    def cell(tag: str, column: Seen, text: str) -> str:
        kind = ' class="number"' if column.number else ""
        key = (keys or {}).get(text, "") if tag == "td" and column.key == "group" else ""
        return f"<{tag}{kind}>{key}{BLANKS.sub(unseen, html.escape(text))}</{tag}>"

    shown = [c.aligned(FIGURE_SPACE, POINT_SPACE) for c in columns]
    parts, body = table.parts(), []
    for i, row in enumerate(table.rows):
        if len(set(parts)) > 1 and parts[i] not in parts[:i]:
            head = html.escape(parts[i])
            body.append(f'<tr class="part"><th colspan="{len(columns)}">{head}</th></tr>')
        cells = "".join(cell("td", c, texts[i]) for c, texts in zip(columns, shown, strict=True))
        body.append(f'<tr class="lead">{cells}</tr>' if table.leads(row) else f"<tr>{cells}</tr>")
    head = "".join(cell("th", c, c.title) for c in columns)
    whole = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f'<table id="table-{html.escape(table.name)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
    if len(table.rows) > LONG and heading == "h3":  # not one that a section is made of
        whole = f"<details><summary>{len(table.rows)} rows</summary>{whole}</details>"
    caption = f'<p class="caption">{html.escape(table.caption)}</p>'
    return f"<{heading}>{title}</{heading}>{whole}{caption}"
