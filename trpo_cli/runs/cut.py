"""Take a run directory back to the moment of a checkpoint: what was written later goes.

Every file is replaced by one rename, and cutting twice is cutting once: whenever this is killed,
the next resumption finds a directory that it can cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import EVAL, METRICS, write_atomically
from trpo_cli.untrusted import parse_json


@dataclass(frozen=True)
class Moment:
    """What the files hold up to a checkpoint.

    step: environment steps. iterations, evaluations: rows of metrics.jsonl and eval.jsonl.
    evaluated: whether the evaluations of training include one at `step` itself; otherwise one
        that is there belongs to the end of a run that now goes on, or ends again.
    """

    step: int
    iterations: int
    evaluations: int
    evaluated: bool


def check(run_dir: Path, moment: Moment) -> None:
    """Raise `UserError` when rows before the moment are missing."""
    for name, kept, expected in (
        (METRICS, _kept_metrics, moment.iterations),
        (EVAL, _kept_evaluations, moment.evaluations),
    ):
        found = len(kept(_lines(run_dir / name), moment))
        if found < expected:
            raise UserError(
                f"{run_dir / name} has {found} of the {expected} rows that its checkpoint counts: "
                "the file was changed since, and the run cannot go on without them."
            )


def cut(run_dir: Path, moment: Moment) -> None:
    """Drop what was written after the moment."""
    for leftover in run_dir.glob(".*.tmp"):
        leftover.unlink()
    for name, kept in ((METRICS, _kept_metrics), (EVAL, _kept_evaluations)):
        lines = _lines(run_dir / name)
        rest = kept(lines, moment)
        if len(rest) < len(lines):
            write_atomically(run_dir / name, b"".join(rest))
    from trpo_cli.runs.event_file import cut_events, events_files  # not for a run that is new

    for path in events_files(run_dir):
        cut_events(path, moment.step, moment.evaluated)


Line = tuple[bytes, Any]
"""A line as it stands and its object, None when a kill cut it short."""


def _kept_metrics(lines: list[Line], moment: Moment) -> list[bytes]:
    return [line for line, row in lines[: moment.iterations] if row is not None]


def _kept_evaluations(lines: list[Line], moment: Moment) -> list[bytes]:
    """`trpo-eval` writes to this file too; what it found about earlier steps stays."""
    kept, spare = list[bytes](), 0 if moment.evaluated else 1
    for line, row in lines:
        # The best checkpoint is evaluated again at the next end of the run.
        if row is None or row["step"] > moment.step or row.get("checkpoint") == "best":
            continue
        if row["step"] == moment.step and spare:
            spare -= 1
            continue
        kept.append(line)
    return kept


def _lines(path: Path) -> list[Line]:
    data = path.read_bytes() if path.exists() else b""
    return [(line, _parsed(line)) for line in data.splitlines(keepends=True)]


def _parsed(line: bytes) -> Any:
    try:
        row = parse_json(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
