"""How far a run is, from the ends of the files in its directory."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.runs.directory import EVAL, METRICS

TAIL = 1 << 16
"""Bytes read from the end of a file; a row has one to two thousand, an evaluation of many episodes
more."""


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
    rows = last_lines(run_dir / METRICS)
    evaluations = [r for r in last_lines(run_dir / EVAL) if "checkpoint" not in r]
    evaluation = evaluations[-1] if evaluations else None
    if not rows:
        return Look(evaluation=evaluation)
    row = rows[-1]
    recent = row.get("train/return_recent")
    return Look(
        int(row["step"]),
        float(row.get("seconds") or 0.0),
        math.nan if recent is None else float(recent),
        evaluation,
    )


def last_lines(path: Path) -> list[dict[str, Any]]:
    """The whole rows at the end of a file of JSON lines; none when it is not there."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    # The first one may have begun before the tail, the last one may still be written.
    found = []
    for line in lines[1 if start else 0 : -1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
