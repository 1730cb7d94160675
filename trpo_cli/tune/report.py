"""What a search has found, in words: a ranking, what mattered, how to run the winner again.

Trials that were given up come after the complete ones, those that got further first: what they were
worth is a mean over fewer seeds, or of training returns, and not to be compared with a final one.
"""

from __future__ import annotations

import csv
import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import stdev

from trpo_cli.terminal.display import count
from trpo_cli.tune.points import points
from trpo_cli.tune.settings import Settings
from trpo_cli.tune.space import override
from trpo_cli.tune.study import Record
from trpo_cli.untrusted import harmless, markdown, spreadsheet

SHOWN = 10
"""Of a search; of candidates all are."""
FRESH, FROM = 5, 1000


def report(
    records: Sequence[Record],
    importance: dict[str, float],
    settings: Settings,
    width: int | None = None,
) -> str:
    """Markdown. width: of a terminal, which its lines are to fit; None: of a file."""
    states = Counter(record.state for record in records)
    told = {"complete": "complete", "pruned": "given up early", "failed": "failed"}
    parts = [f"{states[state]} {word}" for state, word in told.items() if states[state]]
    lines = [f"{count(len(records), 'trial')}: {', '.join(parts) or 'none ended'}.", ""]
    ranked = rank(records)
    if not any(record.value is not None for record in ranked):
        lines.append("No trial was completed; there is nothing to rank.")
        return "\n".join(lines) + "\n"
    shown = ranked if settings.candidates else ranked[:SHOWN]
    table = _cells(shown, settings)
    lines += _columns(table, width) if width else _table(table)
    if not settings.candidates:
        lines += ["", *_wrapped(_importance(importance), width)]
    best = ranked[0]
    drawn = [override(key, value) for key, value in best.settings.items()]
    fresh = f"seed={','.join(map(str, fresh_seeds(settings.seeds_used())))}"
    hydra = ["-cd", settings.config_dir] if settings.config_dir else []
    command = [shlex.quote(word) for word in ("-m", *hydra, *settings.overrides, *drawn, fresh)]
    flattered = (
        f"The winner, trial {best.number}, was chosen because it did well on "
        f"{count(settings.seeds, 'seed')} among {count(len(records), 'trial')}: its figure "
        "flatters it. On fresh seeds:"
    )
    lines += ["", *_wrapped(flattered, width), "", *_command(["trpo-run", *command], width)]
    return "\n".join(lines) + "\n"


def fresh_seeds(used: range) -> range:
    """For the winner's second look: none of those that chose it."""
    firsts = (FROM, 0, used.stop)
    found = (range(first, first + FRESH) for first in firsts)
    return next(seeds for seeds in found if seeds.stop <= used.start or used.stop <= seeds.start)


def _wrapped(text: str, width: int | None) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) if width else [text]


def _command(words: Sequence[str], width: int | None) -> list[str]:
    """A command line to copy; the shell reads on behind a backslash."""
    lines = ["   "]
    for word in words:
        if width and len(lines[-1]) + len(word) + 3 > width and lines[-1].strip():
            lines[-1] += " \\"
            lines.append("       ")
        lines[-1] += f" {word}"
    return lines


def rank(records: Sequence[Record]) -> list[Record]:
    """The complete trials, the best first, then those that were given up."""
    complete = [record for record in records if record.value is not None]
    given_up = [record for record in records if record.left is not None]
    complete.sort(key=lambda record: (-(record.value or 0.0), record.number))
    given_up.sort(key=lambda record: record.left or (), reverse=True)
    return [*complete, *given_up]


def _cells(ranked: Sequence[Record], settings: Settings) -> list[list[str]]:
    """A row for each trial, below one of headings."""
    rows = [["rank", "trial", "return", *ranked[0].settings]]
    for place, record in enumerate(ranked, start=1):
        if record.left is None:
            first = [str(place), str(record.number), spread(record)]
        else:
            worth = f"{record.left[1]:.4g} at {_where(record.left, settings)}"
            first = ["", str(record.number), worth]
        rows.append([*first, *map(_short, record.settings.values())])
    return rows


def _where(left: tuple[int, float], settings: Settings) -> str:
    known = {point.number: point for point in points(settings.prune, settings.seeds)}
    return known[left[0]].words(settings.seeds_used())


def _table(cells: Sequence[Sequence[str]]) -> list[str]:
    head, *rows = [[markdown(harmless(cell)) for cell in row] for row in cells]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return [line(head), f"|{'|'.join('-' * (width + 2) for width in widths)}|", *map(line, rows)]


def _columns(columns: Sequence[Sequence[str]], width: int) -> list[str]:
    """A column for each of the first trials, as many as fit: settings have long names."""
    widths = [max(map(len, column)) for column in columns]
    shown = max(2, sum(end <= width for end in accumulate(w + 2 for w in widths)))
    padded = [[cell.ljust(w) for cell in c] for c, w in zip(columns[:shown], widths, strict=False)]
    return ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]


def spread(record: Record) -> str:
    """Mean ± sample standard deviation over seeds of the final evaluations."""
    text = f"{record.value:.4g}"
    return f"{text} ± {stdev(record.finals):.3g}" if len(record.finals) > 1 else text


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _importance(importance: dict[str, float]) -> str:
    if not importance:
        return "Too few complete trials to say which settings matter."
    parts = [f"{key} {part:.0%}" for key, part in importance.items()]
    return "What sets the best tenth of the trials apart (PED-ANOVA): " + ", ".join(parts) + "."


def write_csv(records: Sequence[Record], path: Path, settings: Settings) -> None:
    """All trials, one a line."""
    keys = list(records[0].settings) if records else []
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = map(spreadsheet, keys)
        head = ["trial", "state", "return_mean", "returns", "given_up_at", "worth_there"]
        writer.writerow([*head, *names, "why"])
        for record in records:
            value = "" if record.value is None else repr(record.value)
            each = " ".join(repr(final) for final in record.finals)
            left = ["", ""]
            if record.left is not None:
                left = [_where(record.left, settings), repr(record.left[1])]
            given = [spreadsheet(str(record.settings.get(key, ""))) for key in keys]
            why = spreadsheet(record.why)
            writer.writerow([record.number, record.state, value, each, *left, *given, why])
