"""The metrics of a run: metrics.jsonl and eval.jsonl, which every tool reads, and TensorBoard."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trpo_cli.errors import CannotWrite
from trpo_cli.runs.append import append_row
from trpo_cli.runs.chain import KEY, extent, lines_of, sealed
from trpo_cli.runs.directory import EVAL, METRICS, open_own, sync_file, sync_folder, write_all

Scalar = float | int | str | None

EVAL_KEYS = ("step", "deterministic", "episodes", "return_mean", "return_std", "returns", "seeds")


class MetricsLogger:
    """Writes the rows of one run. Every row is on its way to the disk when `write` returns, so
    that a killed run loses nothing but the row it was computing. Rows that are there already are
    gone on from, with their keys: an older version may have written fewer metrics.

    hyperparameters: name -> value, for TensorBoard's table (HParams) in this same run. Lists and
        other values are shown as text.
    """

    def __init__(
        self, run_dir: Path, hyperparameters: Mapping[str, Any], start: str | None = None
    ) -> None:
        """start: the digits where the chain of the rows begins; None for a run without one."""
        self._run_dir, self._start = run_dir, start
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._metrics = open_own(run_dir / METRICS, flags)
        self._file = os.fstat(self._metrics)
        lines = _lines(run_dir / METRICS)
        self._keys = tuple(json.loads(lines[0])) if lines else ()
        self._keys = tuple(key for key in self._keys if key != KEY)
        self._count, self._last = extent(lines, start or "")
        self._left_out: frozenset[str] | None = None
        self._events = _open_events(run_dir, hyperparameters)
        self._closed = False

    def check_place(self) -> None:
        """Raise `CannotWrite` when the rows were deleted, which would go nowhere, or when another
        folder or a link is in the run directory's place: nothing of the run belongs there."""
        path = self._run_dir / METRICS
        try:
            mine = os.path.samestat(self._file, os.lstat(path))
        except FileNotFoundError:
            mine = False
        except OSError as error:
            raise CannotWrite(path, error) from error
        if not mine:
            why = "it was deleted, or another was put in its place, while the run was going on"
            raise CannotWrite(path, OSError(0, why))

    def rows(self) -> dict[str, Any] | None:
        """What is known about the rows so far (see `chain`); None in a run without a chain."""
        if self._start is None:
            return None
        evaluations = extent(_lines(self._run_dir / EVAL), self._start)
        return {"start": self._start, METRICS: [self._count, self._last], EVAL: evaluations}

    def write(self, row: Mapping[str, Scalar]) -> None:
        """Append one row to metrics.jsonl and to TensorBoard at the step `row["step"]`.

        The first row of the run fixes the keys and their order; of a resumed one's first row, keys
        that the run has not are left out, then and later. Another new key raises ValueError; a
        missing one is written as null. So is a number that is not finite: JSON has no others.
        Text and null stay out of TensorBoard. Raises `CannotWrite` when the disk refuses; no part
        of the row is left then.
        """
        if not self._keys:
            self._keys = tuple(row)
        values = {key: plain(row.get(key)) for key in self._keys}
        if self._left_out is None:
            self._left_out = frozenset(row.keys() - values.keys())
        new = row.keys() - values.keys() - self._left_out
        if new:
            raise ValueError(
                f"metrics {', '.join(sorted(new))}: not in the run's first row, which fixes the "
                "keys; an update rule must give all its metrics on every update (null if unknown)"
            )
        line, digits = json.dumps(values, allow_nan=False).encode() + b"\n", ""
        if self._start is not None:
            line, digits = sealed(values, self._last)
        self.check_place()
        try:
            write_all(self._metrics, line)
        except OSError as error:
            raise CannotWrite(self._run_dir / METRICS, error) from error
        self._count, self._last = self._count + 1, digits
        self._show(lambda events: events.row(values))

    def write_eval(self, record: Mapping[str, Any], gif: bytes | None = None) -> None:
        """Append one evaluation to eval.jsonl (keys `EVAL_KEYS`, and lengths), and its means to
        TensorBoard as eval/return_mean, eval/return_std and eval/length_mean.

        gif: an animated one, which TensorBoard shows as eval/video."""
        self.check_place()
        values = append_eval(self._run_dir, record, self._start)
        self._show(lambda events: events.evaluation(values, gif))

    def flush(self) -> None:
        """Wait until the disk has every row (before a checkpoint counts them)."""
        self.check_place()
        try:
            os.fsync(self._metrics)
            sync_folder(self._run_dir)  # it lists the files only then for sure
            if (self._run_dir / EVAL).exists():
                sync_file(self._run_dir / EVAL)
        except OSError as error:
            raise CannotWrite(self._run_dir / METRICS, error) from error
        if self._events is not None:
            try:
                self._events.flush()
            except OSError as error:
                _warn(error)
                self._events = None

    def close(self, succeeded: bool = True) -> None:
        """Close the files; `succeeded` goes into TensorBoard's table. Once is enough."""
        if self._closed:
            return
        self._closed = True
        os.close(self._metrics)
        if self._events is not None:
            try:
                self._events.session_end(succeeded)
                self._events.close()
            except OSError as error:
                _warn(error)

    def _show(self, write: Callable[[Any], None]) -> None:
        if self._events is None:
            return
        try:
            write(self._events)
        except OSError as error:
            _warn(error)
            self._events = None


def _lines(path: Path) -> list[bytes]:
    return lines_of(path.read_bytes()) if path.exists() else []


def append_eval(run_dir: Path, record: Mapping[str, Any], start: str | None) -> dict[str, Any]:
    """Append one evaluation to eval.jsonl as a whole line, beside a training run that does so too.

    start: the digits where the run's chain begins; None for a run without one. Returns the values
    as they were written.

    Raises ValueError when a key is missing and `CannotWrite` when the disk refuses.
    """
    missing = [key for key in EVAL_KEYS if key not in record]
    if missing:
        raise ValueError(f"the evaluation lacks {', '.join(missing)}")
    values = {key: plain(value) for key, value in record.items()}
    try:
        append_row(run_dir / EVAL, values, start)
    except OSError as error:
        raise CannotWrite(run_dir / EVAL, error) from error
    return values


def plain(value: Any) -> Any:
    """The JSON value: finite floats, ints, text, lists of them; null for what is not finite."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, tensors
        return plain(value.tolist())
    raise TypeError(f"{value!r} is not a number or text")


def _open_events(run_dir: Path, hyperparameters: Mapping[str, Any]) -> Any:
    """The events file, None with a warning when there can be none: training is worth more."""
    from trpo_cli.runs.event_file import EventFile  # trpo-eval needs only `append_eval`

    try:
        events = EventFile(run_dir)
        events.session_start(
            {
                name: value if isinstance(value, (bool, int, float, str)) else _text(value)
                for name, value in hyperparameters.items()
            }
        )
        return events
    except OSError as error:
        _warn(error)
        return None


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _warn(error: Exception) -> None:
    print(
        f"warning: no more TensorBoard output from here on ({error}); {METRICS} is complete.",
        file=sys.stderr,
    )
