"""A table, defined once, and how it is written: text, CSV, JSON, Markdown and HTML."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trpo_cli.compare.statistics import Interval
from trpo_cli.compare.wording import number
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


@dataclass(frozen=True)
class Table:
    """name: of the file. caption: what a reader must know beside it. rows: records of results,
    which the columns take apart."""

    name: str
    title: str
    caption: str
    columns: list[Column]
    rows: Sequence[Any]

    @property
    def titles(self) -> list[str]:
        return [c.title for c in self.columns if c.title]

    def shown(self) -> list[list[str]]:
        """Every row in words, for the titles."""
        return [[c.words(c.value(row)) for c in self.columns if c.title] for row in self.rows]

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


def to_text(table: Table, titles: Sequence[str]) -> str:
    """For the terminal: the columns of these titles, aligned."""
    places = [table.titles.index(title) for title in titles]
    rows = [[row[i] for i in places] for row in [table.titles, *table.shown()]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


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

    rule = "|" + "---|" * len(table.titles)
    rows = [line(table.titles), rule, *map(line, table.shown())]
    return f"## {markdown(table.title)}\n\n{markdown(table.caption)}\n\n" + "\n".join(rows) + "\n"


def to_html(table: Table, heading: str = "h3") -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    title, rows = html.escape(table.title), "".join(line("td", row) for row in table.shown())
    return (
        f'<{heading}>{title}</{heading}><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{title}"><table><thead>{line("th", table.titles)}</thead>'
        f'<tbody>{rows}</tbody></table></div><p class="caption">{html.escape(table.caption)}</p>'
    )
