"""The simulator's side of its worker processes: start them, talk to them, end them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from trpo_cli.errors import RunFailed, UserError
from trpo_cli.simulators.workers.pipes import (
    DONE,
    FAILED,
    MESSAGE,
    SIGNALS,
    STEP,
    Failure,
    read_exactly,
    receive,
    send,
    write_all,
)

_PATIENCE = 5.0  # seconds for a worker to end by itself


class WorkerProcess:
    """One worker, a process of its own, and its two pipes.

    Neither a fork, which copies a process with threads, nor `multiprocessing`, which imports the
    user's script again. module: what the process runs; its `main` calls `pipes.serve`. label: how
    errors name the worker's environments; first: the number of the simulator's first one.
    silent: what the worker prints goes nowhere.
    """

    def __init__(
        self, module: str, arrays_fd: int, label: str, first: int, *, silent: bool = False
    ) -> None:
        self._label, self._first = label, first
        theirs_commands, self._commands = os.pipe()
        self._answers, theirs_answers = os.pipe()
        fds = (theirs_commands, theirs_answers, arrays_fd)
        # A signal must not reach the worker before it can ignore it: it inherits this mask.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, fds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if silent else None,
                pass_fds=fds,
                env=_environment(),
            )
        except OSError as error:
            os.close(self._commands)
            os.close(self._answers)
            raise RunFailed(f"{label}: no process could be started: {error.strerror}.") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            # With these closed here, the worker's death ends our reading.
            os.close(theirs_commands)
            os.close(theirs_answers)

    def step(self) -> None:
        """Ask for a step; `wait` for it."""
        with self._alive():
            write_all(self._commands, STEP)

    def wait(self) -> None:
        with self._alive():
            if read_exactly(self._answers, 1) != DONE:
                self._raise()

    def ask(self, name: str, *arguments: Any) -> None:
        """Call a method of the worker's; `answer` returns its result."""
        with self._alive():
            send(self._commands, MESSAGE, (name, arguments))

    def answer(self) -> Any:
        with self._alive():
            if read_exactly(self._answers, 1) == FAILED:
                self._raise()
            return receive(self._answers)

    @contextlib.contextmanager
    def _alive(self) -> Any:
        try:
            yield
        except (EOFError, BrokenPipeError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
            raise RunFailed(f"{self._label}: the process that runs them {self._end()}.") from None

    def _raise(self) -> None:
        told: Failure = receive(self._answers)
        error = self._error(told)
        error.add_note(f"In the process of the environment:\n{told.where}")
        raise error

    def _error(self, told: Failure) -> Exception:
        """The error that the worker's failure is here: the same, if it is one of ours."""
        if told.kind == UserError.__name__:
            return UserError(told.words)
        if told.kind == RunFailed.__name__:
            return RunFailed(told.words, facts=told.facts)
        words = f"{told.kind}: {told.words}".rstrip(".")
        if told.number is None:
            return RunFailed(f"{self._label}: their process failed: {words}.")
        number = told.number + self._first
        return RunFailed(
            f"{self._label}: environment {number} failed: {words}.", facts={"environment": number}
        )

    def _end(self) -> str:
        status = self._process.poll()
        if status is None:
            return "closed its pipe"
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by signal {-status} ({signal.Signals(-status).name})"
        return f"ended with exit status {status}"

    def close_pipes(self) -> None:
        """The worker takes it as the end."""
        for fd in (self._commands, self._answers):
            with contextlib.suppress(OSError):
                os.close(fd)

    def join(self) -> None:
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stop(workers: Sequence[WorkerProcess]) -> None:
    """End all workers and wait for them."""
    for worker in workers:
        worker.close_pipes()
    for worker in workers:
        worker.join()


def _environment() -> dict[str, str]:
    """The same modules as here whatever the working directory, and one thread."""
    paths = os.pathsep.join(path for path in sys.path if path)
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return {**os.environ, "PYTHONPATH": paths, **threads}
