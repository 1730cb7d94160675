"""Several runs at a time, each in a process of its own.

A process starts afresh: it is no fork of one that has threads. Its command line says what to do;
its exit status and the last line of its log say how it went. It reads from a pipe that this process
never writes to: when the pipe ends, this process is gone, and the run ends too.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from trpo_cli.errors import RunFailed, UserError
from trpo_cli.runs.directory import open_own
from trpo_cli.system.machine import usable_cores
from trpo_cli.system.signals import HANDLED

MAIN = "trpo_cli.commands.multirun.job"
"""The module that a process executes: it makes one run."""
POLL = 0.02
"""Seconds between two looks at whether a process has ended."""
PATIENCE = 40.0
"""Seconds for a run to write a checkpoint and end; longer than it allows itself."""


@dataclass(frozen=True)
class Run:
    """A run to make.

    number: names it towards the pool, once among the runs that have not ended.
    overrides: its settings; with `resume` what is changed of the configuration it has.
    folder: its run directory. It is new or empty, or was left by a run killed before it began.
    resume: go on with the run in the folder.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    resume: bool = False

    @property
    def log(self) -> Path:
        """The file beside the run directory that has what the run printed."""
        return self.folder.with_name(f"{self.folder.name}.log")


@dataclass(frozen=True)
class Ended:
    """How a run ended: status is its exit status (0 done, 2 bad input, 3 failed, 128 + n stopped by
    signal n), message says why it is not 0."""

    run: Run
    status: int
    message: str = ""


class Pool:
    """Up to `at_once` runs at a time; the others wait in a queue.

    threads: of each run whose settings name no number. config_dir: the person's folder of YAML
    files. trusted: whether runs that go on may name modules that nobody has checked. main: the
    module that a process executes.

    Leaving the block ends all runs: they write a checkpoint unless an error is on its way.
    """

    def __init__(
        self,
        at_once: int,
        *,
        threads: int | None = None,
        config_dir: str | None = None,
        trusted: bool = True,
        main: str = MAIN,
    ) -> None:
        self.at_once = at_once
        self._main = main
        self._settings = {"threads": threads, "config_dir": config_dir, "trusted": trusted}
        self._queue: deque[Run] = deque()
        self._processes: list[Process] = []
        self._ended: list[Ended] = []

    def submit(self, run: Run) -> None:
        """Start a run as soon as fewer than `at_once` go on."""
        self._queue.append(run)
        self._start()

    def wait(self, timeout: float = math.inf) -> list[Ended]:
        """The runs that have ended since the last call; waits for one, `timeout` seconds at most.

        Empty when none did, at once when none goes on.
        """
        until = time.monotonic() + timeout
        self._look()
        while self._processes and not self._ended and time.monotonic() < until:
            time.sleep(POLL)
            self._look()
        ended, self._ended = self._ended, []
        return ended

    def stop(self, number: int, signal_number: int = signal.SIGTERM) -> None:
        """Send a run a signal, so that it writes a checkpoint and ends. One that waits ends without
        having begun; one that is unknown or has ended is left alone."""
        for run in [run for run in self._queue if run.number == number]:
            self._queue.remove(run)
            self._ended.append(Ended(run, 128 + signal_number, "stopped before it began."))
        for process in self._processes:
            if process.run.number == number:
                process.send(signal_number)

    def stop_all(self, signal_number: int) -> None:
        """Stop every run, those that wait first."""
        for run in [*self._queue, *self.running]:
            self.stop(run.number, signal_number)

    @property
    def running(self) -> list[Run]:
        """The runs that go on."""
        return [process.run for process in self._processes]

    @property
    def busy(self) -> bool:
        """Whether there is a run that has not been returned by `wait`."""
        return bool(self._processes or self._queue or self._ended)

    @property
    def idle(self) -> int:
        """How many more runs would start at once."""
        return self.at_once - len(self._processes) - len(self._queue)

    def close(self, *, kill: bool = False) -> None:
        """End all runs, after a checkpoint; with `kill` at once."""
        self._queue.clear()
        for process in self._processes:
            process.leave(kill)
        for process in self._processes:
            process.join()
        self._processes.clear()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close(kill=error is not None)

    def _start(self) -> None:
        while self._queue and len(self._processes) < self.at_once:
            run = self._queue.popleft()
            try:
                self._processes.append(Process(run, self._main, self._settings))
            except OSError as error:
                why = f"its process could not be started: {error}."
                self._ended.append(Ended(run, RunFailed.exit_status, why))

    def _look(self) -> None:
        for process in [process for process in self._processes if process.is_over()]:
            self._processes.remove(process)
            self._ended.append(process.ended())
        self._start()


class Process:
    """The process of one run, and the pipe that ties it to this one."""

    def __init__(self, run: Run, main: str, settings: dict[str, Any]) -> None:
        """Raises OSError when it cannot be started or its log cannot be written."""
        self.run, self._sent = run, 0
        paths = os.pathsep.join(path for path in sys.path if path)
        what = json.dumps({**dataclasses.asdict(run), "folder": str(run.folder), **settings})
        run.log.parent.mkdir(parents=True, exist_ok=True)
        with open(open_own(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", main, what],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths},  # the same modules as here
                start_new_session=True,  # Ctrl-C in the terminal is for this process to pass on
            )

    def send(self, signal_number: int) -> None:
        self._sent = signal_number
        self._process.send_signal(signal_number)

    def leave(self, kill: bool) -> None:
        """Close the pipe; the run ends itself."""
        if kill:
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def join(self) -> None:
        """Wait for its end; `leave` was called."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def ended(self) -> Ended:
        """How it ended; it is over."""
        self.leave(kill=False)
        code = self._process.returncode
        number = -code if code < 0 else code - 128
        if code == 1 and self._sent:  # it had hardly started and did not know the signal yet
            number = self._sent
        if code == 0:
            return Ended(self.run, 0)
        if number in HANDLED:
            return Ended(self.run, 128 + number, f"interrupted by {signal.Signals(number).name}.")
        if code in (UserError.exit_status, RunFailed.exit_status):
            return Ended(self.run, code, self._last_words())
        if code == -signal.SIGKILL:
            why = (
                "its process was killed (SIGKILL), by a person or because memory ran out. Fewer "
                "runs at a time leave each more."
            )
        elif code < 0:
            why = f"its process ended with {signal.Signals(-code).name}."
        else:
            why = f"its process ended with exit status {code}: {self._last_words()}"
        return Ended(self.run, RunFailed.exit_status, why)

    def _last_words(self) -> str:
        """What the run said of its failure: the last such line of its log, or the last of all."""
        with open(self.run.log, "rb") as log:
            log.seek(self._log_start)
            said = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        own = [line for line in said if line.startswith(SAYS)]
        last = next((line for line in reversed(own or said) if line), "its log does not say why.")
        return last.removeprefix(SAYS)


SAYS = "trpo-run: "
"""How the line begins by which `trpo-run` tells a failure."""


def divide_cores(runs: int, threads: int | None, at_once: int | None = None) -> tuple[int, int]:
    """How many of some runs go on at a time, and with how many threads each: together no more
    threads than cores unless the person says so.

    threads: the number that the runs ask for; at_once: the number of runs that the person asks for.
    """
    cores = usable_cores()
    at_once = at_once or max(1, cores // (threads or 1))
    at_once = max(1, min(at_once, runs))
    return at_once, threads or max(1, cores // at_once)
