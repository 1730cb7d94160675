"""A worker's side of the pipes: jobs in, how they ended out."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trpo_cli.runs.crash import describe
from trpo_cli.system.signals import HANDLED, Interrupted, Stop

Message = dict[str, Any]

GRACE = 30.0
"""Seconds for a run to write a checkpoint once the process that asked for it is gone."""


def serve(run: Callable[[Message], tuple[int, str]]) -> None:
    """Run jobs until there are no more, each with what it prints in its log.

    run: makes the run that a message describes (the keys of `Worker.begin` in pool.py) and
        returns its exit status and why it is not 0.
    """
    for number in HANDLED:  # between jobs nobody is there to stop; also where they were ignored
        signal.signal(number, lambda *_: None)
    faulthandler.enable()
    inbox = Inbox(events=int(sys.argv[1]))
    for message in inbox:
        with _printing_to(Path(message["log"])):
            status, why = _guarded(run, message, inbox)
        inbox.answer({"status": status, "message": why})
        gc.collect()  # simulators of the last run, before those of the next are made


class Inbox:
    """The jobs for this worker. A thread reads what is sent: a stop becomes a signal to the main
    thread, and so does the death of the sender."""

    def __init__(self, events: int) -> None:
        os.set_inheritable(events, False)
        self._events = events
        self._commands = os.fdopen(os.dup(0), "rb", buffering=0)  # the copy is not inherited
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        self._jobs: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._stopped: dict[int, int] = {}  # job -> signal
        self._current: int | None = None
        self._alone = False
        self._lock = threading.Lock()
        self._main = threading.main_thread().ident
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[Message]:
        while (message := self._jobs.get()) is not None:
            yield message

    def answer(self, event: Message) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more; the inbox ends too
            os.write(self._events, json.dumps(event).encode() + b"\n")

    @contextlib.contextmanager
    def current(self, job: int) -> Iterator[None]:
        """A block in which the job can be stopped; raises `Interrupted` if it was already."""
        with self._lock:
            if self._alone or job in self._stopped:
                raise Interrupted(self._stopped.get(job, signal.SIGTERM))
            self._current = job
        try:
            yield
        finally:
            with self._lock:
                self._current = None

    def _read(self) -> None:
        for line in self._commands:
            message = json.loads(line)
            if "stop" not in message:
                self._stopped.clear()
                self._jobs.put(message)
                continue
            self._stop(message["stop"], message["signal"])
        self._jobs.put(None)
        with self._lock:
            self._alone, job = True, self._current
        if job is not None:
            self._stop(job, signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    def _stop(self, job: int, number: int) -> None:
        with self._lock:
            self._stopped[job] = number
            if job == self._current and self._main is not None:
                signal.pthread_kill(self._main, number)


def _guarded(
    run: Callable[[Message], tuple[int, str]], message: Message, inbox: Inbox
) -> tuple[int, str]:
    """The outcome of a run, whatever it raises."""
    try:
        with Stop(deferred=False), inbox.current(message["job"]):
            return run(message)
    except Interrupted as error:
        return error.exit_status, f"interrupted by {error}."
    except BaseException as error:
        print(f"trpo-run: {describe(error)}", file=sys.stderr)
        return 3, describe(error)


@contextlib.contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Standard output and error go to the end of a file, those of C code too."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # the run will say what is wrong with the disk
        target = os.open(os.devnull, os.O_WRONLY)
    before = os.dup(1), os.dup(2)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        for number, saved in enumerate(before, start=1):
            os.dup2(saved, number)
            os.close(saved)
