"""Take a run directory back to the moment of a checkpoint: what was written later is put aside.

Every file is replaced by one rename, and cutting twice is cutting once: whenever this is killed,
the next resumption finds a directory that it can cut. What is cut off rows is kept beside their
file, as `<name>.cut-<time>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.errors import CannotWrite
from trpo_cli.runs import chain
from trpo_cli.runs.append import alone_with, keep_beside
from trpo_cli.runs.directory import EVAL, METRICS, write_atomically
from trpo_cli.untrusted import parse_json


@dataclass(frozen=True)
class Moment:
    """What the files hold up to a checkpoint.

    step: environment steps. iterations, evaluations: rows of metrics.jsonl, and of eval.jsonl that
        are of training.
    evaluated: whether the evaluations of training include one at `step` itself; otherwise one
        that is there belongs to the end of a run that now goes on, or ends again.
    rows: what the checkpoint knows about the rows (see `chain`); None in a run without a chain.
    """

    step: int
    iterations: int
    evaluations: int
    evaluated: bool
    rows: chain.Known | None = None


def wrong(run_dir: Path, moment: Moment) -> str:
    """Why the rows before the moment are not as they were; empty when they are."""
    metrics, evaluations = (_lines(run_dir / name) for name in chain.FILES)
    if moment.rows is not None:
        found = (
            chain.check_rows(name, lines, moment.rows, "the checkpoint")
            for name, lines in ((METRICS, metrics), (EVAL, evaluations))
        )
        return next(filter(None, found), "")
    for name, kept, count in (
        (METRICS, _kept_metrics(metrics, moment), moment.iterations),
        (EVAL, _kept_evaluations(evaluations, moment), moment.evaluations),
    ):
        if len(kept) < count:
            return f"{name} has {len(kept)} of the {count} rows that the checkpoint counts"
    return ""


def before_last(run_dir: Path, moment: Moment) -> int:
    """The environment steps before the iteration that ended at the moment."""
    if moment.iterations < 2:
        return 0
    row = parse_json(_lines(run_dir / METRICS)[moment.iterations - 2])
    return int(row["step"])


def cut(run_dir: Path, moment: Moment) -> list[str]:
    """Put aside what was written after the moment; returns what to say about it."""
    for leftover in run_dir.glob(".*.tmp"):
        leftover.unlink()
    notes = []
    for name, keep in ((METRICS, _kept_metrics), (EVAL, _kept_evaluations)):
        path = run_dir / name
        if not path.exists():
            continue
        try:
            with alone_with(path):
                data = path.read_bytes()
                kept = keep(chain.lines_of(data), moment)
                rest = _without(data, kept)
                if rest:
                    beside = keep_beside(path, rest)
                    count = len(rest.splitlines())
                    rows = f"{count} row{'s' * (count != 1)}"
                    notes.append(f"{rows} of {name} behind the checkpoint: now in {beside.name}")
                if name == EVAL and moment.rows is not None:
                    kept = chain.chained(kept, moment.rows["start"])
                new = b"".join(kept)
                if new != data:
                    write_atomically(path, new)
        except OSError as error:
            raise CannotWrite(path, error) from error
    from trpo_cli.runs.event_file import mend_events  # not for a run that is new

    if mend_events(run_dir, _rows(run_dir / METRICS), _rows(run_dir / EVAL)):
        notes.append("TensorBoard's events were written again from the rows")
    return notes


def _kept_metrics(lines: Sequence[bytes], moment: Moment) -> list[bytes]:
    return [line for line in lines[: moment.iterations] if _parsed(line) is not None]


def _kept_evaluations(lines: Sequence[bytes], moment: Moment) -> list[bytes]:
    """`trpo-eval` writes to this file too; what it found about earlier steps stays."""
    if moment.rows is not None:
        count = moment.rows[EVAL][0]
        follows = list(chain.following(lines, moment.rows["start"]))
        later = zip(lines[count:], follows[count:], strict=True)
        return [*lines[:count], *(line for line, good in later if good and chain.is_added(line))]
    kept, spare = list[bytes](), 0 if moment.evaluated else 1
    for line in lines:
        row = _parsed(line)
        # The best checkpoint is evaluated again at the next end of the run.
        if row is None or row["step"] > moment.step or row.get("checkpoint") == "best":
            continue
        if row["step"] == moment.step and spare and "by" not in row:
            spare -= 1
            continue
        kept.append(line)
    return kept


def _without(data: bytes, kept: Sequence[bytes]) -> bytes:
    """The lines of a file that are not among those kept, which are in the file's order."""
    *lines, torn = data.split(b"\n")
    rest, waiting = list[bytes](), list(reversed(kept))
    for line in lines:
        if waiting and line + b"\n" == waiting[-1]:
            waiting.pop()
        else:
            rest.append(line + b"\n")
    return b"".join([*rest, torn])


def _lines(path: Path) -> list[bytes]:
    return chain.lines_of(path.read_bytes()) if path.exists() else []


def _rows(path: Path) -> list[dict[str, Any]]:
    parsed = map(_parsed, _lines(path))
    return [row for row in parsed if row is not None]


def _parsed(line: bytes) -> Any:
    try:
        row = parse_json(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
