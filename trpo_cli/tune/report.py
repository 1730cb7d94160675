"""What a search has found, in words: a ranking, what mattered, how to run the winner again."""

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
from trpo_cli.tune.space import override
from trpo_cli.tune.study import Record
from trpo_cli.untrusted import harmless, markdown, spreadsheet

SHOWN = 10
FRESH_SEEDS = range(1000, 1005)
"""For the winner's second look: none of those that chose it."""


def report(
    records: Sequence[Record],
    importance: dict[str, float],
    overrides: Sequence[str],
    seeds: Sequence[int],
    config_dir: str | None = None,
    width: int | None = None,
) -> str:
    """Markdown. width: of a terminal, which its lines are to fit; None: of a file."""
    states = Counter(record.state for record in records)
    told = {"complete": "complete", "pruned": "given up early", "failed": "failed"}
    parts = [f"{states[state]} {word}" for state, word in told.items() if states[state]]
    lines = [f"{count(len(records), 'trial')}: {', '.join(parts) or 'none ended'}.", ""]
    ranked = rank(records)
    if not ranked:
        lines.append("No trial was completed; there is nothing to rank.")
        return "\n".join(lines) + "\n"
    lines += _columns(ranked[:SHOWN], width) if width else _table(ranked[:SHOWN])
    lines += ["", *_wrapped(_importance(importance), width)]
    best = ranked[0]
    drawn = [override(key, value) for key, value in best.settings.items()]
    fresh = f"seed={','.join(map(str, FRESH_SEEDS))}"
    hydra = ["-cd", config_dir] if config_dir else []
    command = [shlex.quote(word) for word in ("-m", *hydra, *overrides, *drawn, fresh)]
    flattered = (
        f"The winner, trial {best.number}, was chosen because it did well on "
        f"{count(len(seeds), 'seed')} among {count(len(records), 'trial')}: its figure flatters "
        "it. On fresh seeds:"
    )
    lines += ["", *_wrapped(flattered, width), "", *_command(["trpo-run", *command], width)]
    return "\n".join(lines) + "\n"


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
    """The complete trials, the best first."""
    complete = [record for record in records if record.value is not None]
    return sorted(complete, key=lambda record: (-(record.value or 0.0), record.number))


def _table(ranked: Sequence[Record]) -> list[str]:
    keys = list(ranked[0].settings)
    head = ["rank", "trial", "return", *keys]
    rows = [
        [str(place), str(record.number), spread(record), *map(_short, record.settings.values())]
        for place, record in enumerate(ranked, start=1)
    ]
    head, *rows = [[markdown(harmless(cell)) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return [line(head), f"|{'|'.join('-' * (width + 2) for width in widths)}|", *map(line, rows)]


def _columns(ranked: Sequence[Record], width: int) -> list[str]:
    """A column for each of the first trials, as many as fit: settings have long names."""
    keys = list(ranked[0].settings)
    columns = [["rank", "trial", "return", *keys]]
    columns += [
        [str(place), str(record.number), spread(record), *map(_short, record.settings.values())]
        for place, record in enumerate(ranked, start=1)
    ]
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


def write_csv(records: Sequence[Record], path: Path) -> None:
    """All trials, one a line."""
    keys = list(records[0].settings) if records else []
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = map(spreadsheet, keys)
        writer.writerow(["trial", "state", "return_mean", "returns", *names, "why"])
        for record in records:
            value = "" if record.value is None else repr(record.value)
            each = " ".join(repr(final) for final in record.finals)
            settings = [spreadsheet(str(record.settings.get(key, ""))) for key in keys]
            why = spreadsheet(record.why)
            writer.writerow([record.number, record.state, value, each, *settings, why])
