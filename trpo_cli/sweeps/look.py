"""How far a run is, from the files in its directory."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from trpo_cli.runs import manifest
from trpo_cli.runs.directory import CONFIG, EVAL, METRICS
from trpo_cli.untrusted import parse_json

MEANS = ("return_mean", "return_std")
"""What is shown of an evaluation."""
TAIL = 1 << 16
"""Bytes read from the end of a file. A row has one to two thousand, an evaluation of many episodes
has more."""


@dataclass(frozen=True)
class Look:
    """step: environment steps done; seconds: that they took; recent: mean return of the last
    training episodes, NaN before one has ended; evaluation: the last one's record, if any."""

    step: int = 0
    seconds: float = 0.0
    recent: float = math.nan
    evaluation: dict[str, Any] | None = None

    @property
    def rate(self) -> float:
        """Steps per second over the whole run, NaN before the first row."""
        return self.step / self.seconds if self.seconds > 0 else math.nan


def look(run_dir: Path) -> Look:
    rows = (row for row in last_rows(run_dir / METRICS) if isinstance(row.get("step"), int))
    row = next(rows, {"step": 0})
    evaluations = (
        r
        for r in last_rows(run_dir / EVAL)
        if "checkpoint" not in r and all(_is_number(r.get(key)) for key in MEANS)
    )
    seconds, recent = (row.get(key) for key in ("seconds", "train/return_recent"))  # null: unknown
    return Look(
        row["step"],
        seconds if _is_number(seconds) else 0.0,
        recent if _is_number(recent) else math.nan,
        next(evaluations, None),
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def last_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole rows at the end of a file of JSON lines, from the last one back. What is no row is
    passed over: whether the file is in order, the run itself finds out."""
    try:
        with open(path, "rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL)
            file.seek(start)
            lines = file.read().split(b"\n")
    except OSError:
        return
    # The first one may have begun before the tail, the last one may still be written.
    for line in reversed(lines[1 if start else 0 : -1]):
        with contextlib.suppress(ValueError):
            row = parse_json(line)
            if isinstance(row, dict):
                yield row


def has_begun(run_dir: Path) -> bool:
    """Whether there is a run to go on with: its configuration is written, its seed known."""
    return (run_dir / CONFIG).is_file()


def is_finished(run_dir: Path, total_steps: int = 0) -> bool:
    """Whether a run has finished, with no more steps to do."""
    content = manifest.read(run_dir)
    return content.get("status") == "finished" and content.get("step", 0) >= total_steps
