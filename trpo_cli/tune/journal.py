"""journal.log: what a search tried and what it was worth, one entry a line, only ever appended to.

Lines carry a chain as rows do, so that one that was changed or lost is found. Optuna reads and
writes through `Journal`; with its own class a last line that is torn spoils the next one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.append import keep_beside
from trpo_cli.runs.chain import KEY, digits_of, following, lines_of, seal
from trpo_cli.runs.directory import open_own, write_all

START = "0" * 16


class Journal:
    """A backend for Optuna's journal storage, in a folder that this process holds.

    chained: whether the lines carry a chain; those of a search of an older version do not.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UserError` for a line that is not what was written.

        A last line that is torn, by a power failure, is put aside.
        """
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            keep_beside(path, data[len(whole) :])
            os.truncate(path, len(whole))
        lines = lines_of(whole)
        self.chained = not lines or bool(digits_of(lines[0]))
        self._entries = [self._entry(number, line) for number, line in enumerate(lines, 1)]
        if self.chained:
            for number, follows in enumerate(following(lines, START), 1):
                if not follows:
                    raise self._changed(number)
        self._last = digits_of(lines[-1]) if lines else START

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The entries from a number on."""
        return self._entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; they are on the disk then."""
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
        self._entries += logs

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
