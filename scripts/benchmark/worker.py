"""A thing to measure in a process of its own, which stays alive and is idle until asked.

What is measured is a function without arguments that does one piece of work, an iteration or so,
and returns a `Lap`. A worker's process makes it, and calls it as often as the time asked for takes.
Nothing but Python's own modules may be imported before the process has set the number of its
threads: the libraries read it when they are loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from trpo_cli.system.machine import usable_cores

WARM_UP = 2
"""Pieces of work before the first measurement: caches, compilers, first allocations."""


@dataclass(frozen=True)
class Lap:
    """Work done. steps: of the environments; seconds: that it took, and by phase where it has
    phases."""

    steps: int
    seconds: float
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds


Work = Callable[[], Lap]


class Failed(Exception):
    """A thing could not be made or measured; the last line of its traceback."""


def total(laps: Sequence[Lap]) -> Lap:
    phases = {phase: sum(lap.phases[phase] for lap in laps) for phase in laps[0].phases}
    return Lap(sum(lap.steps for lap in laps), sum(lap.seconds for lap in laps), phases)


class Worker:
    """A process that makes and measures one thing.

    make: called with `arguments` in the new process, which pickles it by its name.
    cores: how many cores the process may use; it is pinned to them when it has more.
    math_threads: threads of the linear algebra libraries.

    The constructor returns when the thing is made and warm. It and `measure` raise `Failed`.
    """

    def __init__(
        self, make: Callable[..., Work], cores: int, math_threads: int = 1, **arguments: Any
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, cores, math_threads, make, arguments)
        )
        self._process.start()
        theirs.close()  # so that a process that dies is the end of the pipe
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def measure(self, seconds: float) -> Lap:
        """Whole pieces of work, until they took so many seconds or more."""
        self._pipe.send(seconds)
        lap: Lap = self._receive()
        return lap

    def close(self) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()  # one that does not end by itself

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            answer = f"the process ended with exit status {self._process.exitcode}"
        if isinstance(answer, str):
            print(answer, file=sys.stderr)
            raise Failed(answer.strip().splitlines()[-1])
        return answer


def _serve(
    pipe: Connection,
    cores: int,
    math_threads: int,
    make: Callable[..., Work],
    arguments: dict[str, Any],
) -> None:
    """Answer None when ready, then each number of seconds with a `Lap`; a traceback on failure."""
    try:
        _silence()
        _pin(cores)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(math_threads)
        work = make(**arguments)
        for _ in range(WARM_UP):
            work()
        pipe.send(None)
        while True:
            seconds, laps = pipe.recv(), [work()]
            while sum(lap.seconds for lap in laps) < seconds:
                laps.append(work())
            pipe.send(total(laps))
    except (EOFError, KeyboardInterrupt):  # nobody asks any more
        pass
    except BaseException:
        pipe.send(traceback.format_exc())


def _silence() -> None:
    """Warnings of the libraries do not belong among the figures; errors go through the pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _pin(cores: int) -> None:
    if cores < usable_cores():
        # The last ones: the first has the system's interrupts.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
