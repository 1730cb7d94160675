"""The metrics of a run: metrics.jsonl and eval.jsonl, which every tool reads, and TensorBoard."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trpo_cli.errors import CannotWrite
from trpo_cli.runs.directory import EVAL, METRICS, append_line, open_own, sync_file, write_all

Scalar = float | int | str | None

EVAL_KEYS = ("step", "deterministic", "episodes", "return_mean", "return_std", "returns", "seeds")


class MetricsLogger:
    """Writes the rows of one run. Every row is on its way to the disk when `write` returns, so
    that a killed run loses nothing but the row it was computing. Rows that are there already are
    gone on from, with their keys: an older version may have written fewer metrics.

    hyperparameters: name -> value, for TensorBoard's table (HParams) in this same run. Lists and
        other values are shown as text.
    """

    def __init__(self, run_dir: Path, hyperparameters: Mapping[str, Any]) -> None:
        self._run_dir = run_dir
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._metrics = open_own(run_dir / METRICS, flags)
        self._keys = _first_keys(run_dir / METRICS)
        self._left_out: frozenset[str] | None = None
        self._events = _open_events(run_dir, hyperparameters)
        self._closed = False

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
        try:
            write_all(self._metrics, json.dumps(values, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise CannotWrite(self._run_dir / METRICS, error) from error
        self._scalars(int(values["step"]), values)

    def write_eval(self, record: Mapping[str, Any]) -> None:
        """Append one evaluation to eval.jsonl (keys `EVAL_KEYS`, and lengths), and its means to
        TensorBoard as eval/return_mean, eval/return_std and eval/length_mean."""
        append_eval(self._run_dir, record)
        values = {f"eval/{key}": record[key] for key in ("return_mean", "return_std")}
        lengths = record.get("lengths")
        if lengths:
            values["eval/length_mean"] = sum(lengths) / len(lengths)
        self._scalars(int(record["step"]), values)

    def flush(self) -> None:
        """Wait until the disk has every row (before a checkpoint counts them)."""
        try:
            os.fsync(self._metrics)
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

    def _scalars(self, step: int, values: Mapping[str, Any]) -> None:
        if self._events is None:
            return
        try:
            self._events.scalars(
                step,
                {
                    key: value
                    for key, value in values.items()
                    if key != "step" and isinstance(value, (int, float))
                },
            )
        except OSError as error:
            _warn(error)
            self._events = None


def _first_keys(path: Path) -> tuple[str, ...]:
    with open(path, encoding="utf-8") as file:
        first = file.readline()
    return tuple(json.loads(first)) if first else ()


def append_eval(run_dir: Path, record: Mapping[str, Any]) -> None:
    """Append one evaluation to eval.jsonl as a whole line, beside a training run that does so too.

    Raises ValueError when a key is missing and `CannotWrite` when the disk refuses.
    """
    missing = [key for key in EVAL_KEYS if key not in record]
    if missing:
        raise ValueError(f"the evaluation lacks {', '.join(missing)}")
    line = json.dumps({key: plain(value) for key, value in record.items()}, allow_nan=False)
    try:
        append_line(run_dir / EVAL, line)
    except OSError as error:
        raise CannotWrite(run_dir / EVAL, error) from error


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
