"""Worker processes that make one run after another, several of them at the same time.

A worker is a fresh process, not a fork of one that has threads. It imports torch once and keeps it
for all its jobs. Jobs and stops go to it as lines of JSON through its standard input; how a job
ended comes back through a second pipe. The end of that pipe tells that the worker is dead, and the
end of the first one tells the worker that this process is: it stops its run and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from trpo_cli.errors import RunFailed
from trpo_cli.runs.directory import write_all
from trpo_cli.system.machine import usable_cores

RUNS = "trpo_cli.commands.multirun.job"
"""The module that a worker executes: the one that makes runs."""
PATIENCE = 40.0
"""Seconds for a worker to write a checkpoint and end; longer than it allows itself."""


@dataclass(frozen=True)
class Job:
    """One run to make.

    number: names it towards the pool, once among the jobs that have not ended.
    overrides: its settings; with `resume` what is changed of the configuration it has.
    folder: its run directory, new or empty, or left by a run that was killed before it began.
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
    """How a job ended: status is the exit status of such a run (0 done, 2 bad input, 3 failed,
    128 + n stopped by signal n), message says why it is not 0."""

    job: Job
    status: int
    message: str = ""


class Pool:
    """Up to `workers` runs at a time; the others wait in a queue.

    threads: of each run whose settings name no number. config_dir: the person's folder of YAML
    files. main: the module that a worker executes.

    One thread uses a pool. Leaving its block ends all workers: runs that still go on write a
    checkpoint unless an error is on its way.
    """

    def __init__(
        self,
        workers: int,
        *,
        threads: int | None = None,
        config_dir: str | None = None,
        main: str = RUNS,
    ) -> None:
        self.workers = workers
        self._settings = {"threads": threads, "config_dir": config_dir}
        self._main = main
        self._queue: deque[Job] = deque()
        self._ended: list[Ended] = []
        self._all: list[Worker] = []
        self._selector = selectors.DefaultSelector()

    def submit(self, job: Job) -> None:
        """Run a job as soon as a worker is free. Raises `RunFailed` when no process can start."""
        self._queue.append(job)
        self._assign()

    def wait(self, timeout: float | None = None) -> list[Ended]:
        """The jobs that have ended since the last call; waits for one, `timeout` seconds at most.

        Empty when none did, at once when none is running.
        """
        self._assign()
        if not self._ended and self.running:
            for key, _ in self._selector.select(timeout):
                self._hear(key.data)
            self._assign()
        ended, self._ended = self._ended, []
        return ended

    def stop(self, number: int, signal_number: int = signal.SIGTERM) -> None:
        """Let a running job write a checkpoint and end as if it had got the signal. One that waits
        ends without having begun; one that is unknown or has ended is left alone."""
        for job in [job for job in self._queue if job.number == number]:
            self._queue.remove(job)
            self._ended.append(Ended(job, 128 + signal_number, "stopped before it began."))
        for worker in self._all:
            if worker.job is not None and worker.job.number == number:
                worker.tell({"stop": number, "signal": int(signal_number)})

    @property
    def running(self) -> list[Job]:
        """The jobs that workers are at."""
        return [worker.job for worker in self._all if worker.job is not None]

    @property
    def busy(self) -> bool:
        """Whether there is a job that has not been returned by `wait`."""
        return bool(self.running or self._queue or self._ended)

    @property
    def idle(self) -> int:
        """How many more jobs would start at once."""
        return self.workers - len(self.running) - len(self._queue)

    def close(self, *, kill: bool = False) -> None:
        """End all workers, those at work after a checkpoint; with `kill` at once."""
        for worker in self._all:
            worker.end(kill)
        for worker in self._all:
            worker.join()
        self._all.clear()
        self._queue.clear()
        self._selector.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close(kill=error is not None)

    def _assign(self) -> None:
        while self._queue and len(self.running) < self.workers:
            free = [worker for worker in self._all if worker.job is None]
            worker = free[0] if free else self._start()
            worker.begin(self._queue.popleft(), self._settings)

    def _start(self) -> Worker:
        worker = Worker(self._main)
        self._selector.register(worker.events, selectors.EVENT_READ, worker)
        self._all.append(worker)
        return worker

    def _hear(self, worker: Worker) -> None:
        job, (alive, said) = worker.job, worker.hear()
        for event in said:
            assert job is not None
            self._ended.append(Ended(job, event["status"], event["message"]))
            worker.job = job = None
        if not alive:
            self._selector.unregister(worker.events)
            self._all.remove(worker)
            why = worker.cause_of_death()
            if job is not None:
                self._ended.append(Ended(job, RunFailed.exit_status, why))


class Worker:
    """One process and its two pipes; `job` is what it is at."""

    def __init__(self, main: str) -> None:
        self.job: Job | None = None
        self._part = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self.events, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", main, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs],
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for this process to pass on
                bufsize=0,
            )
        except OSError as error:
            os.close(self.events)
            raise RunFailed(f"no worker process could be started: {error.strerror}.") from error
        finally:
            os.close(theirs)

    def begin(self, job: Job, settings: dict[str, Any]) -> None:
        self.job = job
        self.tell(
            {
                "job": job.number,
                "overrides": job.overrides,
                "folder": str(job.folder),
                "resume": job.resume,
                "log": str(job.log),
                **settings,
            }
        )

    def tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is heard soon
            write_all(self._process.stdin.fileno(), json.dumps(message).encode() + b"\n")

    def hear(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether it is alive, and what it has said."""
        data = os.read(self.events, 1 << 16)
        *lines, self._part = (self._part + data).split(b"\n")
        return bool(data), [json.loads(line) for line in lines]

    def end(self, kill: bool) -> None:
        if kill:
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def join(self) -> None:
        """Wait for its end; `end` was called."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self.events)

    def cause_of_death(self) -> str:
        """Why it ended without being told to, in words."""
        self.end(kill=False)
        self.join()
        code = self._process.returncode
        if code == -signal.SIGKILL:
            return (
                "its process was killed (SIGKILL), by a person or because memory ran out. Fewer "
                "runs at a time leave each more."
            )
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").split("\n")
        last = next((f": {line.strip()}" for line in reversed(said) if line.strip()), ".")
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"its process ended with {how}{last}"


def _environment() -> dict[str, str]:
    """The same modules as here whatever the working directory."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def share(jobs: int, threads: int | None, at_once: int | None = None) -> tuple[int, int]:
    """How many of some runs go on at a time, and with how many threads each: together no more
    threads than cores unless the person says so.

    threads: the number that the runs ask for; at_once: the number of runs that the person asks for.
    """
    cores = usable_cores()
    workers = at_once or max(1, cores // (threads or 1))
    workers = max(1, min(workers, jobs))
    return workers, threads or max(1, cores // workers)
