"""One process in a run directory at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import sys
import time
from pathlib import Path

from trpo_cli.errors import CannotWrite, UserError
from trpo_cli.runs.directory import LOCK, open_own


class Lock:
    """Held from construction to the end of the block, or of the process, however that ends: the
    kernel keeps it, and the file that stays behind means nothing."""

    def __init__(self, run_dir: Path, what: str = "run") -> None:
        """what: is in the directory. Raises `UserError` when another process holds it."""
        self._what = what
        try:
            self._file = open_own(run_dir / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise CannotWrite(run_dir / LOCK, error) from error
        try:
            self._take(run_dir)
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, run_dir: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 200).decode(errors="replace").strip()
            raise UserError(
                f"The {self._what} in {run_dir} is still going{f' ({holder})' if holder else ''}: "
                f"two processes cannot continue one {self._what}. Wait for it, or stop it first."
            ) from None
        except OSError as error:  # a file system without locks
            print(
                f"warning: {run_dir} cannot be locked ({error.strerror}); take care that no two "
                "processes continue this run.",
                file=sys.stderr,
            )
        with contextlib.suppress(OSError):  # who holds it is only said; a full disk may refuse
            os.ftruncate(self._file, 0)
            os.write(self._file, f"process {os.getpid()} on {platform.node()}\n".encode())

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def wait_until_free(run_dir: Path, seconds: float) -> None:
    """Wait for a process that is about to leave the directory; `UserError` when it stays longer."""
    until = time.monotonic() + seconds
    while True:
        try:
            with Lock(run_dir):
                return
        except UserError:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)
