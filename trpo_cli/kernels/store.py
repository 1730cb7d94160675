"""Compiled code that outlives its process: files in the user's cache folder.

They lie in a folder named by all that decides what they hold: the sources of compiled code, the
versions of Python and of the libraries. Processes that need the same code at the same time have
their turns: one compiles, the others wait and read what it has made. What lies in the folder is
executed, so one that somebody else could have filled is not used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO

PACKAGE = Path(__file__).parents[1]
SOURCES = ("kernels", "simulators/mujoco")
"""Every compiled function is in one of these folders."""
LIBRARIES = ("numba", "llvmlite", "numpy", "mujoco")
"""Compiled code holds numbers and layouts of theirs."""
VERSIONS_KEPT = 3
PATIENCE = 300.0
"""Seconds to wait for another process, which may have been stopped."""
COMPILING = "compiling the inner loops"
SECONDS = 15
"""What a run has to compile at most takes about so long, on an idle core."""

_tell: Callable[[str], None] | None = None
_turn: IO[str] | None = None
_problem = ""


def listen(listener: Callable[[str], None]) -> None:
    """Have a line about what takes long passed on, before it begins; once in a process."""
    global _tell
    _tell = listener


def find(name: str) -> bytes | None:
    """What was kept under a name; None where nothing was, or only a part of it is left."""
    folder = _folder()
    if folder is None or not _is_ours(folder):
        return None
    try:
        found = (folder / name).read_bytes()
    except OSError:
        return None
    start = hashlib.sha256().digest_size
    return found[start:] if hashlib.sha256(found[start:]).digest() == found[:start] else None


def find_in_turn(name: str) -> bytes | None:
    """The same when no other process is compiling anything; none does until `end_turn`."""
    _begin_turn()
    found = find(name)
    if found is None:
        _say(
            f"{COMPILING} at every start, for up to {SECONDS} seconds: what is compiled cannot be "
            f"kept ({_problem}). NUMBA_CACHE_DIR=DIR names another folder for it"
            if _problem
            else f"{COMPILING}, once for this machine and version: up to {SECONDS} seconds"
        )
    return found


def keep(name: str, code: bytes) -> None:
    """Keep something under a name, where that is possible."""
    folder = _folder()
    if folder is None or _problem:
        return
    new = folder / f".{name}.{os.getpid()}"
    try:
        new.write_bytes(hashlib.sha256(code).digest() + code)
        new.replace(folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()


def end_turn() -> None:
    """Let the next process go on."""
    global _turn
    if _turn is not None:
        _turn.close()
        _turn = None


def _begin_turn() -> None:
    """Wait for the lock, which a process loses with its end, whatever that is."""
    global _turn, _problem
    folder = _folder()
    if folder is None:
        _problem = "there is no home folder"
        return
    try:
        _make(folder)
        if not _is_ours(folder):
            _problem = f"others can write to {folder}"
            return
        lock = open(folder / "lock", "w")  # noqa: SIM115
    except OSError as error:
        _problem = f"{folder}: {error.strerror}"
        return
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            _say(f"waiting for another process, which is {COMPILING}")
            time.sleep(0.1)
        except OSError:  # a file system without locks
            break
    _turn = lock


def _say(words: str) -> None:
    global _tell
    if _tell is not None:
        tell, _tell = _tell, None
        tell(words)


@cache
def _folder() -> Path | None:
    """Where this version's files are, or would be."""
    given, user = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        above = Path(user) if os.path.isabs(user) else Path.home() / ".cache"
    except RuntimeError:
        if not given:
            return None
    folder = (Path(given) if given else above / "trpo_cli") / f"kernels-{_version()}"
    with contextlib.suppress(OSError):
        os.utime(folder)  # the versions that were used last are kept
    return folder


def _make(folder: Path) -> None:
    """Make the folder; the first process of a version clears older ones away."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = {}
    for each in folder.parent.glob(f"kernels-{'[0-9a-f]' * 16}"):
        with contextlib.suppress(OSError):
            made[each] = each.stat().st_mtime
    for old in sorted(made, key=made.__getitem__, reverse=True)[VERSIONS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether nobody but this user, and root, can have written there."""
    try:
        found = folder.stat()
    except OSError:
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & others


@cache
def _version() -> str:
    """A name for the sources of all compiled code and what compiles it."""
    from importlib.metadata import version

    state = hashlib.sha256(str(sys.implementation.cache_tag).encode())
    for library in LIBRARIES:
        state.update(f"{library} {version(library)}\0".encode())
    for part in SOURCES:
        for path in sorted((PACKAGE / part).rglob("*.py")):
            state.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
            state.update(path.read_bytes() + b"\0")
    return state.hexdigest()[:16]
