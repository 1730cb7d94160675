"""The workers of one simulator: each has some of its environments, consecutive ones."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from trpo_cli.errors import RunFailed
from trpo_cli.simulators.workers.process import WorkerProcess, stop


class Team:
    """Workers that start when they are first needed, so that building a simulator only to look at
    its spaces is quick.

    module: what they run. env_id, first: how errors name the environments. arrays_fd: the file of
    the shared arrays, which the team closes. size: how many workers, at most one per environment.
    start: what each is started with, before num_envs and the numbers of its own environments.
    silent: see `WorkerProcess`.
    """

    def __init__(
        self,
        module: str,
        env_id: str,
        arrays_fd: int,
        num_envs: int,
        size: int,
        first: int,
        start: Sequence[Any],
        *,
        silent: bool = False,
    ) -> None:
        self._module, self._id, self._silent = module, env_id, silent
        self._fd, self._num_envs, self._first, self._with = arrays_fd, num_envs, first, start
        bounds = np.linspace(0, num_envs, max(1, min(size, num_envs)) + 1).astype(int).tolist()
        self.parts = [range(a, b) for a, b in pairwise(bounds)]
        self.workers: list[WorkerProcess] = []
        self._closed = False
        # Also when this object is dropped or the interpreter ends.
        self._finish = weakref.finalize(self, _finish, self.workers, arrays_fd)

    def _start(self) -> None:
        if self._closed:
            raise RunFailed(f"env={self._id}: the simulator is closed.")
        if self.workers:
            return
        last = self._first - 1
        for part in self.parts:
            names = f"environments {self._first + part.start} to {last + part.stop}"
            label = f"env={self._id}, {names}"
            self.workers.append(
                WorkerProcess(self._module, self._fd, label, self._first, silent=self._silent)
            )
        for worker, part in zip(self.workers, self.parts, strict=True):
            worker.ask("start", *self._with, self._num_envs, part.start, part.stop)
        for worker in self.workers:
            worker.answer()

    def _all(self, exchange: Callable[[], None]) -> None:
        """Talk to the workers. After anything that interrupts it they are out of step: ended."""
        try:
            self._start()
            exchange()
        except BaseException:
            self.close()
            raise

    def step(self) -> None:
        """Let all of them take a step; the shared arrays hold what it needs and what it gives."""

        def exchange() -> None:
            for worker in self.workers:
                worker.step()
            for worker in self.workers:
                worker.wait()

        self._all(exchange)

    def reset(self, ids: Sequence[int], seed: Sequence[int] | None) -> None:
        """Begin episodes in these environments; seed: of each, None: the workers draw them."""
        seeds = [None] * len(ids) if seed is None else [int(value) for value in seed]
        self.ask("reset", dict(zip(ids, seeds, strict=True)))

    def ask(self, name: str, what: Mapping[int, Any]) -> list[Any]:
        """Call a method of every worker that is concerned, with its share of `what`, which is by
        number of the environment; their answers, in the order of the environments."""
        answers: list[Any] = []

        def exchange() -> None:
            asked = []
            for worker, part in zip(self.workers, self.parts, strict=True):
                share = {i: value for i, value in what.items() if i in part}
                if share:
                    worker.ask(name, share)
                    asked.append(worker)
            answers.extend(worker.answer() for worker in asked)

        self._all(exchange)
        return answers

    def close(self) -> None:
        self._closed = True
        self._finish()


def _finish(workers: list[WorkerProcess], fd: int) -> None:
    os.close(fd)
    stop(workers)
