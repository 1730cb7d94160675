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

_held: set[int] = set()


def _drop_in_child() -> None:
    """A process that an environment forks must not hold the directory when the run is gone."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


class Lock:
    """Held from construction to `release`, the end of the block, or of the process, however that
    ends: the kernel keeps it, and the file that stays behind means nothing."""

    def __init__(self, run_dir: Path, what: str = "run") -> None:
        """what: is in the directory. Raises `UserError` when another process holds it."""
        self._dir, self._what = run_dir, what
        while True:
            try:
                self._file = open_own(run_dir / LOCK, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                raise CannotWrite(run_dir / LOCK, error) from error
            _held.add(self._file)
            try:
                self._take()
                if self._is_in_place():
                    self._say_who()
                    break
            except BaseException:
                self.release()
                raise
            self.release()  # its holder removed the file meanwhile: whoever comes has another

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 200).decode(errors="replace").strip()
            raise UserError(
                f"The {self._what} in {self._dir} is still going{f' ({holder})' if holder else ''}:"
                f" two processes cannot continue one {self._what}. Wait for it, or stop it first."
            ) from None
        except OSError as error:  # a file system without locks
            print(
                f"warning: {self._dir} cannot be locked ({error.strerror}); take care that no two "
                "processes continue this run.",
                file=sys.stderr,
            )

    def _say_who(self) -> None:
        with contextlib.suppress(OSError):  # a full disk may refuse
            os.ftruncate(self._file, 0)
            os.write(self._file, f"process {os.getpid()} on {platform.node()}\n".encode())

    def _is_in_place(self) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(self._file), os.lstat(self._dir / LOCK))
        return False

    def release(self) -> None:
        """Let others in. Once more does nothing."""
        if self._file in _held:
            _held.remove(self._file)
            os.close(self._file)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(run_dir: Path) -> bool:
    """Whether a process holds the lock of a directory; true where that cannot be told. The process
    that the file names may be gone, and its number another one's."""
    descriptor = os.open(run_dir / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


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
