"""What a person sees of a sweep: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from trpo_cli.sweeps.look import Look, look
from trpo_cli.terminal.display import LiveArea, PlainLines, can_draw, count, duration, is_quiet

SUMMARY_SECONDS = 60.0
"""Plain output: a line on all runs this often."""
MARGIN = 4
"""Lines of the terminal for other things than runs: the heads, the summary, the prompt."""
LAST_ROWS = 200
"""The most runs in the table that stays on the screen at the end."""
WAITING, RUNNING, FINISHED, INTERRUPTED, FAILED = (
    "waiting", "running", "finished", "interrupted", "failed"
)  # fmt: skip
STYLES = {FINISHED: "green", RUNNING: "bold", WAITING: "dim", INTERRUPTED: "yellow", FAILED: "red"}
"""Of the states, in the order in which the summary counts them."""


@dataclass
class Row:
    """One run. name: what makes it differ from the others; total: the steps it is to do."""

    number: int
    name: str
    folder: Path
    total: int
    state: str = WAITING
    seen: Look = field(default_factory=Look)

    @property
    def left(self) -> float:
        """Seconds to its end at the speed so far; NaN when that is unknown."""
        return max(0, self.total - self.seen.step) / self.seen.rate if self.seen.step else math.nan

    @property
    def result(self) -> str:
        """The return: of the last evaluation once it is finished, of training before."""
        record = self.seen.evaluation
        if self.state == FINISHED and record is not None:
            return f"{record['return_mean']:.4g} ± {record['return_std']:.4g}"
        return f"{self.seen.recent:.4g}" if math.isfinite(self.seen.recent) else ""

    @property
    def progress(self) -> str:
        if not self.seen.step:
            return ""
        return f"{self.seen.step:,} ({min(100, 100 * self.seen.step // self.total)}%)"


class Overview:
    """Shows how the runs of a sweep get on. stream: standard output when None."""

    def __init__(self, rows: Sequence[Row], at_once: int, stream: TextIO | None = None) -> None:
        self.rows = {row.number: row for row in rows}
        self._at_once = at_once
        for row in rows:
            row.seen = look(row.folder)
        stream = sys.stdout if stream is None else stream
        self._live = can_draw(stream) and not is_quiet()
        self._out: Any = LiveOverview(stream) if self._live else PlainLines(stream)
        self._told = time.monotonic()
        self._ended: list[int] = []  # in the order of their ends

    def add(self, row: Row) -> None:
        """One more run, or one that is there already and is to be made now."""
        row.seen = look(row.folder)
        self.rows[row.number] = row

    def running(self, numbers: Sequence[int]) -> None:
        """Show how far these runs are, which go on now."""
        for number in numbers:
            row = self.rows[number]
            if row.state != RUNNING:
                row.state = RUNNING
                done = row.seen.step
                how = f"goes on at step {done:,}" if done else "started"
                self._event(f"run {number} {how}: {row.name}")
            row.seen = look(row.folder)
        if self._live:
            self._out.show(self.ordered(), self.summary())
        elif time.monotonic() - self._told > SUMMARY_SECONDS and not is_quiet():
            self._told = time.monotonic()
            self._out.print(self.summary())

    def ended(self, number: int, state: str, reason: str = "") -> None:
        """Take note of a run's end."""
        row = self.rows[number]
        row.state, row.seen = state, look(row.folder)
        self._ended.append(number)
        if state == FINISHED:
            seen = row.seen
            result = f"return {row.result}, " if row.result else ""
            took = f"{count(seen.step, 'step')}, {duration(seen.seconds)}"
            self._event(f"run {number} finished: {result}{took} ({row.name})")
        elif state != WAITING:
            text = f"run {number} {state}: {reason} ({row.name})"
            self._out.print(text)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._out.print(text)

    def close(self) -> None:
        """The terminal is a plain one again; the last table stays on it."""
        if self._live:
            self._out.show(self.ordered(), self.summary(), room=LAST_ROWS)
        self._out.close()

    def ordered(self) -> list[Row]:
        """The runs, those first that are most worth a line when there are fewer lines than runs:
        running, failed, the latest to end, the next to begin."""
        ended = {number: -place for place, number in enumerate(self._ended)}
        rank = {RUNNING: 0, FAILED: 1, INTERRUPTED: 2, FINISHED: 3, WAITING: 4}
        return sorted(
            self.rows.values(),
            key=lambda row: (rank[row.state], ended.get(row.number, 0), row.number),
        )

    def summary(self) -> str:
        """All runs in one line."""
        states = Counter(row.state for row in self.rows.values())
        parts = [f"{states[state]} {state}" for state in STYLES if states[state]]
        text = f"{count(len(self.rows), 'run')}: {', '.join(parts)}"
        left = self.seconds_left()
        return f"{text}; about {duration(left)} left" if left > 0 else text

    def seconds_left(self) -> float:
        """Until all are done, at the mean speed of the runs seen so far; 0 when unknown."""
        paces = [1 / row.seen.rate for row in self.rows.values() if row.seen.rate > 0]
        todo = [row for row in self.rows.values() if row.state in (RUNNING, WAITING)]
        if not paces or not todo:
            return 0.0
        mean = sum(paces) / len(paces)
        each = [
            row.left if math.isfinite(row.left) else (row.total - row.seen.step) * mean
            for row in todo
        ]
        return max(sum(each) / self._at_once, *each)

    def _event(self, text: str) -> None:
        if not self._live and not is_quiet():
            self._out.print(text)


class LiveOverview:
    """A table that stays in place on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._area = LiveArea(stream)
        self.print, self.close = self._area.print, self._area.close

    def show(self, rows: Sequence[Row], summary: str, room: int | None = None) -> None:
        """Draw the first of the rows, as many as fit (or as there is `room` for), and the summary
        below."""
        room = room or max(1, self._area.console.size.height - MARGIN)
        self._area.draw(self._draw(rows, summary, room))

    def _draw(self, rows: Sequence[Row], summary: str, room: int) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown, more = list(rows[:room]), len(rows) - room
        if more <= 0:
            shown.sort(key=lambda row: row.number)
        grid = Table(box=None, pad_edge=False, header_style="dim")
        grid.add_column("run", justify="right", no_wrap=True)
        grid.add_column("settings", no_wrap=True, overflow="ellipsis", ratio=1)
        grid.add_column("state", no_wrap=True)
        grid.add_column("step", justify="right", no_wrap=True)
        grid.add_column("return", justify="right", no_wrap=True)
        grid.add_column("left", justify="right", no_wrap=True)
        for row in shown:
            left = duration(row.left) if row.state == RUNNING and row.left > 0 else ""
            cells = [str(row.number), row.name, row.state, row.progress, row.result, left]
            grid.add_row(*(Text(cell) for cell in cells), style=STYLES[row.state])
        tail = f"... and {more} more. {summary}" if more > 0 else summary
        return Group(grid, Text(tail))
