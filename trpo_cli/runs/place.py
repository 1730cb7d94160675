"""The folder of something new: made and locked in one go, and removed again if nothing came of it.

Of several processes that want one folder, one gets it. Only that one ever removes anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from trpo_cli.errors import CannotWrite
from trpo_cli.runs.directory import LOCK, check_run_dir, claim, is_remains, make
from trpo_cli.runs.lock import Lock


class Place:
    """A folder of one's own. lock: held. made: what did not exist before, innermost first."""

    def __init__(self, folder: Path, lock: Lock, made: list[Path]) -> None:
        self.folder, self.lock, self._made = folder, lock, made

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let others in; after a failure before anything was written the folder goes."""
        with contextlib.suppress(OSError):
            if kind is not None and os.listdir(self.folder) == [LOCK]:
                (self.folder / LOCK).unlink()  # while it is held: others notice
                for empty in self._made:  # only empty ones go
                    empty.rmdir()
        self.lock.release()


def take(
    folder: Path,
    key: str,
    what: str = "run",
    check: Callable[[Path, str], None] = check_run_dir,
) -> Place:
    """Make and lock the folder that a person named with `key`.

    check: raises `UserError` where it may not be used; asked before anything is made, and again
        when nobody else can get in. Raises `UserError` too when another process is there.
    """
    check(folder, key)
    made = [p for p in (folder.absolute(), *folder.absolute().parents) if not p.exists()]
    while True:
        make(folder, key)
        try:
            lock = Lock(folder, what)
        except CannotWrite:
            if folder.is_dir():
                raise
            continue  # one that had it gave it up and removed it
        try:
            check(folder, key)
            _clear_remains(folder)
        except BaseException:
            lock.release()
            raise
        return Place(folder, lock, made)


def take_unnamed(folder: Path, what: str = "run") -> Place:
    """Make and lock a folder below outputs/ that is nobody else's: see `claim`."""
    parents = [p for p in folder.absolute().parents if not p.exists()]
    folder = claim(folder)
    return Place(folder, Lock(folder, what), [folder, *parents])


def _clear_remains(folder: Path) -> None:
    """Remove half-written files of a process that was killed before it began."""
    for path in folder.iterdir():
        if path.name != LOCK and is_remains(path.name):
            path.unlink(missing_ok=True)
