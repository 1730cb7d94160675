"""journal.log: what a search tried and what it was worth, one entry a line, only ever appended to.

Lines carry a chain as rows do, so that one that was changed or lost is found. Optuna reads and
writes through `Journal`; with its own class a last line that is torn spoils the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.append import keep_beside
from trpo_cli.runs.chain import DIGITS, KEY, digits_of, following, lines_of, seal
from trpo_cli.runs.directory import open_own, write_all

START = "0" * DIGITS
"""Where the chain of a search begins that has no digits of its own: an older version's."""


class Journal:
    """A backend for Optuna's journal storage, in a folder that this process holds.

    chained: whether the lines carry a chain; those of a search of an older version do not.
    """

    def __init__(self, path: Path, start: str = START) -> None:
        """start: the digits with which the chain begins.

        Raises `UserError` for a line that is not what was written. A last line that is torn, by a
        power failure, is put aside when the next one is written.
        """
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        lines = lines_of(data)
        self._torn = data[sum(map(len, lines)) :]
        self.chained = start != START or not lines or any(map(digits_of, lines))
        self._entries = [self._entry(number, line) for number, line in enumerate(lines, 1)]
        if self.chained:
            for number, follows in enumerate(following(lines, start), 1):
                if not follows:
                    raise self._changed(number)
        self._last = digits_of(lines[-1]) if lines else start
        self._held: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The entries from a number on."""
        return self._entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; they are on the disk then, or at the end of `together`."""
        if self._held is None:
            self._write(logs)
        else:
            self._held += logs
        self._entries += logs

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is appended within is one write: a process that is killed leaves all or nothing."""
        self._held = held = list[dict[str, Any]]()
        try:
            yield
        finally:
            self._held = None
            self._write(held)

    def _write(self, logs: list[dict[str, Any]]) -> None:
        if not logs:
            return
        self._put_torn_aside()
        text, last = b"", self._last
        for log in logs:
            line = json.dumps(log).encode() + b"\n"
            if self.chained:
                line, last = seal(line[:-2], last)
            text += line
        descriptor = open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            write_all(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._last = last

    def _put_torn_aside(self) -> None:
        if self._torn:
            keep_beside(self._path, self._torn)
            os.truncate(self._path, self._path.stat().st_size - len(self._torn))
            self._torn = b""

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise self._changed(number)
        entry.pop(KEY, None)
        return entry

    def _changed(self, number: int) -> UserError:
        return UserError(
            f"{self._path}: line {number} was changed, or lines before it are missing. The search "
            "cannot go on with it: put the original back, or begin a new search."
        )
