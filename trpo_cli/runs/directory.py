"""Names inside a run directory, and how its files are written.

A run directory alone is enough to evaluate, resume and compare a run. No two runs share one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, TypeVar

from trpo_cli.errors import CannotWrite, UserError, name_too_long
from trpo_cli.untrusted import parse_json

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
EVAL = "eval.jsonl"
CHECKPOINTS = "checkpoints"
VIDEOS = "videos"
EVENTS = "events.out.tfevents.*"
LOCK = ".lock"
CHECKSUM = "sha256"
FIRST = (CONFIG, MANIFEST, "sweep.json", "tune.json")
"""What is written first into the folder of a run, a sweep, a search."""
OUTPUTS = Path("outputs")
"""Where the folders go that nobody has named."""

T = TypeVar("T")


def require(path: str | os.PathLike[str]) -> Path:
    """The run directory at `path`; raises `UserError` when there is none."""
    folder = Path(path)
    there = exists(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if there else "does not exist"
        raise UserError(f"The run directory {path} {what}.")
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{path} is not a run directory: it has no {CONFIG}. Give the folder that trpo-run "
            "printed, the one that holds the run's metrics.jsonl."
        )
    events = [path.name for path in folder.glob(EVENTS)]
    files = (CONFIG, MANIFEST, METRICS, EVAL, LOCK, *events)
    refuse_links(folder, files)
    for name in files:
        if (folder / name).is_dir():
            raise UserError(f"{folder / name} is a folder, and a run has a file there.")
    return folder


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Raise `UserError` where something in a folder is a symbolic link, or neither file nor folder.

    The folder may come from somebody else: a link would let a run write anywhere, a pipe would let
    it wait for ever.
    """
    for name in names:
        path = folder / name
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link to {path.readlink()}, which is not followed: a run "
                "writes into its own folder only. Put the file or folder itself there."
            )
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path} is neither a file nor a folder; a run has no use for it.")


def check_inside(folder: Path, name: str) -> None:
    """Raise `UserError` for a path that leads out of a folder, or through a symbolic link in it."""
    path = PurePath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise UserError(f"{name!r} is no folder inside {folder}.")
    refuse_links(folder, [str(part) for part in (path, *path.parents)])


def is_remains(name: str) -> bool:
    """Whether a file of this name may be left by a process that was killed before it began."""
    whole = re.fullmatch(r"\.(.+)\.tmp", name)
    return name == LOCK or (whole is not None and whole[1] in FIRST)


def check_run_dir(folder: Path, key: str = "hydra.run.dir") -> None:
    """Raise `UserError` unless a run may be written there: new, or empty but for what a process
    left that was killed before it began; and writable."""
    if _exists(folder, key) and not folder.is_dir():
        raise UserError(f"{key}={folder} is a file; a run needs a folder of its own.")
    if folder.is_dir() and not all(is_remains(path.name) for path in folder.iterdir()):
        raise UserError(
            f"{key}={folder} exists and is not empty; a run needs a folder of its own."
            f" Leave {key} out to get a fresh one."
        )
    check_writable(folder, key)


def exists(path: Path) -> bool:
    """Whether something is there. Raises `OSError` for a name that is too long, which to pathlib
    does not exist from Python 3.14 on."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        return False
    return True


def _exists(folder: Path, key: str) -> bool:
    try:
        return exists(folder)
    except OSError:
        raise name_too_long(str(folder), f"{key}=") from None


def check_writable(folder: Path, key: str) -> None:
    """Raise `UserError` when the folder could not be created or written."""
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if _exists(p, key))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{key}={folder} cannot be written: no permission to write in {nearest}.")


def make(folder: Path, key: str) -> None:
    """Create a folder that the person named."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{key}={folder} cannot be made: {error.strerror}.") from error


def claim(folder: Path) -> Path:
    """Create a folder below outputs/ that is nobody else's, numbering it when two start in the same
    second."""
    check_writable(OUTPUTS, "outputs folder")
    for attempt in range(1, 1000):
        candidate = folder if attempt == 1 else folder.with_name(f"{folder.name}-{attempt}")
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{candidate} cannot be made: {error.strerror}.") from error
    raise UserError(f"{folder} and its 999 successors exist already; tidy that folder up.")


def moment() -> str:
    """Now, as the name of a folder."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace one of our JSON files; a checksum of the content is its last entry."""
    whole = {**content, CHECKSUM: _checksum(content)}
    write_atomically(path, json.dumps(whole, indent=1, allow_nan=False).encode() + b"\n")


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_json(path: Path, newest: int, what: str, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` gives for the content of one of our JSON files.

    newest: the highest "format" that this version knows. what: the file should be.
    Raises `UserError` when it is not, is of a newer format, or was changed since it was written.
    """
    try:
        content = parse_json(path.read_bytes())
        version = int(content["format"])
        if version > newest:
            raise UserError(too_new(path, version, newest))
        checksum = content.pop(CHECKSUM, None)  # older versions wrote none
        if checksum is not None and checksum != _checksum(content):
            raise UserError(f"{path} was changed after it was written. Put the original back.")
        return make(content)
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"{path} cannot be read as {what}: {error}.") from error


def too_new(what: object, version: int, newest: int) -> str:
    """The sentence that refuses a file of a newer format."""
    return (
        f"{what} has format {version} and this version reads up to {newest}: a newer trpo-cli "
        "wrote it; use that one."
    )


def open_own(path: Path, flags: int) -> int:
    """Open a file to write to, and never what a symbolic link of its name points to: the directory
    may come from somebody else. Raises OSError for a link, and for what is no file."""
    # Without O_NONBLOCK a pipe would wait for its reader.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return descriptor


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
        temporary.unlink(missing_ok=True)  # of a run that was killed, or somebody's link
        write_durably(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CannotWrite(path, error) from error


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
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
