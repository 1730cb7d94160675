"""Names inside a run directory, and how its files are written.

A run directory alone is enough to evaluate, resume and compare a run. No two runs share one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from trpo_cli.errors import CannotWrite, UserError

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
EVAL = "eval.jsonl"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"


def require(path: str | os.PathLike[str]) -> Path:
    """The run directory at `path`; raises `UserError` when there is none."""
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"The run directory {path} {what}.")
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{path} is not a run directory: it has no {CONFIG}. Give the folder that trpo-run "
            "printed, the one that holds the run's metrics.jsonl."
        )
    return folder


def append_line(path: Path, line: str) -> None:
    """Append one whole line: two processes appending to one file never mix their lines."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        write_all(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Append every byte; one system call unless the disk fills up. Then the part that went in is
    taken back, unless somebody else has written behind it, and OSError raised."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        size = os.fstat(descriptor).st_size
        # An appending descriptor stands behind what it wrote last.
        if written and size == os.lseek(descriptor, 0, os.SEEK_CUR):
            os.ftruncate(descriptor, size - written)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path`: at each moment, also after a crash, it is the old or the new one.

    Raises `CannotWrite` when the disk refuses, and leaves the old one.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_durably(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CannotWrite(path, error) from error


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's list of names."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Wait until the disk has all that was written to the file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
