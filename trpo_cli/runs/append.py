"""Rows appended to a file that two processes write to, and what is cut off a file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trpo_cli.runs.chain import digits_of, lines_of, sealed
from trpo_cli.runs.directory import moment, open_own, write_all


def append_row(path: Path, values: Mapping[str, Any], start: str | None) -> None:
    """Append one whole line: rows of two processes never mix.

    start: the digits where the chain of the file begins; None for a run without a chain. A last
    line that is torn is cut off first: it would spoil this one. Raises OSError.
    """
    with alone_with(path) as descriptor:
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            keep_beside(path, data[len(whole) :])
            os.ftruncate(descriptor, len(whole))
        if start is None:
            line = json.dumps(values, allow_nan=False).encode() + b"\n"
        else:
            lines = lines_of(whole)
            line, _ = sealed(values, digits_of(lines[-1]) if lines else start)
        write_all(descriptor, line)


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[int]:
    """A block in which no other process appends to a file or replaces it: its descriptor, open for
    reading and appending. Without locks in the file system it is open all the same."""
    descriptor = _lock(path)
    while descriptor is None:  # it was replaced while this process waited
        descriptor = _lock(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    descriptor = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    os.close(descriptor)
    return None


def keep_beside(path: Path, data: bytes) -> Path:
    """Append what is cut off a file to one beside it, `<name>.cut-<time>`, which is returned."""
    beside = path.with_name(f"{path.name}.cut-{moment()}")
    descriptor = open_own(beside, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return beside
