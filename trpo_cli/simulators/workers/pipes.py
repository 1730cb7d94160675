"""A worker's side of its pipes: what it is asked, what it answers, how it fails.

A step is one byte in each direction; everything else is a pickled message with its length in front.
A worker ends when the commands end, which is also what the death of the simulator's process looks
like. Light on purpose, as workers have to start quickly.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from trpo_cli.errors import FOREIGN, RunFailed

STEP, MESSAGE, DONE, FAILED = b"s", b"m", b"d", b"f"
_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
SIGNALS = [getattr(signal, name) for name in _IGNORED if hasattr(signal, name)]


class Failure(NamedTuple):
    """An error as it travels. kind: its class's name; number: of the environment that the worker
    was at, None before there was one; facts: of a `RunFailed`; where: the traceback."""

    kind: str
    words: str
    number: int | None
    facts: dict[str, Any]
    where: str


class Worker(Protocol):
    """Some environments of a simulator. Whatever else it is asked are methods of its own."""

    current: int
    """The environment that it is at, for errors."""

    def step(self) -> None:
        """Advance those that are to move; arrays in shared memory say which, and how."""
        ...


def read_exactly(fd: int, count: int) -> bytes:
    """Raises `EOFError` when the other side is gone."""
    parts = []
    while count:
        part = os.read(fd, count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def send(fd: int, kind: bytes, content: Any) -> None:
    body = pickle.dumps(content)
    write_all(fd, kind + len(body).to_bytes(8, "little") + body)


def receive(fd: int) -> Any:
    """The content of a message, after its kind has been read."""
    return pickle.loads(read_exactly(fd, int.from_bytes(read_exactly(fd, 8), "little")))


def serve(make: Callable[..., Worker]) -> None:
    """What a worker's process does.

    Its arguments are the file descriptors to read commands from, to write answers to, and of the
    shared arrays. make: called with the last of them, and with what "start" was asked with.
    """
    # They are blocked until here (see `WorkerProcess`): the run's process decides when to end.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    commands, answers, arrays_fd = map(int, sys.argv[1:])
    worker: Worker | None = None
    while True:
        try:
            if read_exactly(commands, 1) == STEP:
                assert worker is not None
                worker.step()
                write_all(answers, DONE)
                continue
            name, arguments = receive(commands)
            if name == "start":
                worker = make(arrays_fd, *arguments)
                result = None
            else:
                result = getattr(worker, name)(*arguments)
            send(answers, MESSAGE, result)
        except (EOFError, BrokenPipeError):
            return
        except FOREIGN as error:
            send(answers, FAILED, _failure(error, worker))


def _failure(error: BaseException, worker: Worker | None) -> Failure:
    return Failure(
        type(error).__name__,
        " ".join(str(error).split()),
        worker.current if worker is not None else None,
        error.facts if isinstance(error, RunFailed) else {},
        "".join(traceback.format_exception(error)),
    )
