"""What an experiment found: tables to print, and what its figure is drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """rows: one list per row; numbers are printed with five digits, None as a dash."""

    title: str
    columns: list[str]
    rows: list[list[Any]]

    def text(self) -> str:
        """Columns of one width, text to the left and numbers to the right."""
        cells = [self.columns, *([_words(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        left = [all(isinstance(row[k], str) for row in self.rows) for k in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if to_left else cell.rjust(width)
                for cell, width, to_left in zip(row, widths, left, strict=True)
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, "", *("  " + line for line in lines)])

    def as_json(self) -> dict[str, Any]:
        rows = [[_plain(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "columns": self.columns, "rows": rows}


@dataclass(frozen=True)
class Findings:
    """tables: what is printed. notes: sentences below them. curves: arrays for the figure."""

    tables: list[Table]
    notes: list[str]
    curves: dict[str, Any] = field(default_factory=dict)


def _words(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.5g}"
    return str(cell)


def _plain(cell: Any) -> Any:
    """As JSON has it, which knows no infinity."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell
