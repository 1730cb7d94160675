"""A table, and how it is written as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trpo_cli.compare.statistics import Interval
from trpo_cli.compare.verdict import number

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """name: of the file. rows: raw values, for CSV. shown: the same in words, for people.
    caption: what a reader must know beside it."""

    name: str
    title: str
    caption: str
    header: list[str]
    shown: list[list[str]]
    raw_header: list[str]
    raw: list[list[Cell]]


def to_csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.raw_header)
    for row in table.raw:
        writer.writerow([_plain(value) for value in row])
    return out.getvalue()


def to_markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    rule = "|" + "---|" * len(table.header)
    rows = [line(table.header), rule, *(line(row) for row in table.shown)]
    return f"## {table.title}\n\n{table.caption}\n\n" + "\n".join(rows) + "\n"


def spread(i: Interval) -> str:
    return number(i.value) if math.isnan(i.std) else f"{number(i.value)} ± {number(i.std)}"


def bounds(i: Interval, form: str = "") -> str:
    if math.isnan(i.low):
        return "-"
    low, high = (format(v, form) if form else number(v) for v in (i.low, i.high))
    return f"{low} to {high}"


def numbers(i: Interval) -> list[float]:
    return [i.value, i.std, i.low, i.high]


def file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def _plain(value: Cell) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "" if value is None or math.isnan(value) else "inf"
    return f"{value:.8g}" if isinstance(value, float) else str(value)
