"""Pages with generated parts: what stands between two marks is made of stored runs.

    <!-- results: cells version=v4 steps=1000000 -->
    ...
    <!-- end of results -->

`cells` is one of `BLOCKS`; `figure NAME.png` draws curves into docs/ and shows them;
`trials` is the table of what was tried. The words behind it choose runs: version, steps, env, rule
(several with commas), settings (one of `SETTINGS`).
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from campaign import games, tables
from trpo_cli.compare.drawing import draw
from trpo_cli.compare.plots import curves
from trpo_cli.env_ids import task_and_version
from trpo_cli.errors import UserError
from trpo_cli.reference.store import Result, Trial

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/results.md")
PART = re.compile(r"(<!-- results: ([^\n]*?) -->\n).*?(<!-- end of results -->)", re.DOTALL)
WORDS = ("version", "steps", "env", "rule", "settings")
BLOCKS: Mapping[str, Callable[[Sequence[Result]], str]] = {
    "cells": tables.cells,
    "verdicts": tables.verdicts,
    "bounds": tables.bounds,
    "cost": tables.cost,
    "short": tables.short,
    "games": games.games,
}
"""What a page can ask for by name."""
SETTINGS = {
    "defaults": tables.defaults_only,
    "offered": tables.offered,
    "other": tables.others,
}
PANEL = 2.35
"""Inches of a figure's panel: its letters can be read at half its size."""


@dataclass(frozen=True)
class Part:
    """What one pair of marks asks for. name: of a block or a figure. chosen: key -> values."""

    name: str
    file: str
    chosen: dict[str, list[str]]

    def runs(self, results: Iterable[Result]) -> list[Result]:
        found = [r for r in results if self._takes(r)]
        settings = self.chosen.get("settings")
        return SETTINGS[settings[0]](found) if settings else found

    def trials(self, trials: Iterable[Trial]) -> list[Trial]:
        return [trial for trial in trials if self._takes(trial)]

    def _takes(self, result: Result | Trial) -> bool:
        mine = {
            "version": task_and_version(result.env)[1],
            "steps": str(result.total_steps),
            "env": result.env,
            "rule": result.rule,
        }
        return all(mine[key] in values for key, values in self.chosen.items() if key in mine)


def parse(text: str) -> Part:
    """Raises `UserError` for marks that ask for nothing there is."""
    name, *words = text.split()
    file = words.pop(0) if name == "figure" and words else ""
    pairs = [word.partition("=") for word in words]
    wrong = [
        key
        for key, _, values in pairs
        if key not in WORDS or (key == "settings" and values not in SETTINGS)
    ]
    known = name in (*BLOCKS, "figure", "trials")
    if wrong or not known or (name == "figure") != bool(file):
        raise UserError(
            f"<!-- results: {text} -->: there are {', '.join(BLOCKS)}, trials "
            f"and figure FILE, chosen by {', '.join(f'{word}=' for word in WORDS)}; "
            f"settings= is one of {', '.join(SETTINGS)}."
        )
    return Part(name, file, {key: values.split(",") for key, _, values in pairs})


def rewritten(text: str, page: str, results: Sequence[Result], trials: Sequence[Trial] = ()) -> str:
    """A page with its generated parts made again. page: its path, for links to figures."""

    def make(match: re.Match[str]) -> str:
        part = parse(match[2])
        runs = part.runs(results)
        if part.name == "figure":
            path = part.file if page.startswith("docs/") else f"docs/{part.file}"
            there = runs or (ROOT / "docs" / part.file).is_file()
            made = f"![learning curves]({path})\n" if there else tables.NOTHING
        elif part.name == "trials":
            made = tables.trials(part.trials(trials))
        else:
            made = BLOCKS[part.name](runs)
        return f"{match[1]}\n{made}\n{match[3]}"

    return PART.sub(make, text)


def figures(text: str, results: Sequence[Result]) -> dict[str, list[Result]]:
    """The figures that a page shows: file below docs/ -> runs."""
    parts = [parse(match[2]) for match in PART.finditer(text)]
    found = {part.file: part.runs(results) for part in parts if part.name == "figure"}
    return {file: runs for file, runs in found.items() if runs}


def digest(runs: Sequence[Result]) -> str:
    """Of all that a figure of these runs shows."""
    told = hashlib.sha256()
    for r in sorted(runs, key=lambda r: (*r.cell, r.seed)):
        told.update(repr((r.cell, r.seed, r.sampled.mean)).encode() + r.returns.tobytes())
    return told.hexdigest()[:16]


def picture(runs: Sequence[Result]) -> bytes:
    """Learning curves as PNG, a panel for each task; its comment is the digest of the runs."""
    plot = curves(tables.compared(runs), against=False)
    # How many runs there are stands in the table; some tasks' names take all the room.
    panels = [replace(p, title=p.title.partition(" (")[0]) for p in plot.panels]
    plot = replace(plot, panels=panels)
    columns = 2 if len(plot.panels) in (2, 4) else 3
    drawing = draw(plot, ["png"], width=PANEL * min(columns, len(plot.panels)), columns=columns)
    return commented(drawing.files["png"], digest(runs))


def commented(png: bytes, words: str) -> bytes:
    """A PNG with a text chunk behind its header."""
    content = b"tEXt" + b"Comment\0" + words.encode()
    chunk = struct.pack(">I", len(content) - 4) + content
    chunk += struct.pack(">I", zlib.crc32(content))
    header = 8 + 25  # the signature, and IHDR, which is always first and of the same size
    return png[:header] + chunk + png[header:]


def comment_of(png: bytes) -> str:
    """What `commented` put there; empty for other pictures."""
    match = re.search(rb"tEXtComment\0([0-9a-f]{16})", png[:200])
    return match[1].decode() if match else ""
