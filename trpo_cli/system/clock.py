"""The wall-clock time of a run and of each phase of an iteration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


def due(every: int, before: int, now: int) -> bool:
    """Whether a multiple of `every` steps lies in (before, now]; 0 means never."""
    return bool(every) and now // every > before // every


class Clock:
    """Wall-clock seconds of a run and of the phases of each iteration."""

    def __init__(self) -> None:
        self._began = self._start = time.perf_counter()
        self._phases: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the clock was made, and those before that."""
        return time.perf_counter() - self._began

    def go_on(self, seconds: float) -> None:
        """Count from `seconds`: what the run had taken when it was interrupted."""
        self._began = time.perf_counter() - seconds

    def start(self) -> None:
        """An iteration begins."""
        self._start, self._phases = time.perf_counter(), {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Counts what happens inside, but for phases that are counted there themselves."""
        start, before = time.perf_counter(), sum(self._phases.values())
        yield
        within = sum(self._phases.values()) - before
        seconds = time.perf_counter() - start - within
        self._phases[phase] = self._phases.get(phase, 0.0) + seconds

    def lap(self) -> tuple[dict[str, float], float]:
        """Seconds by phase since `start` (the rest as `other`), and all of them together."""
        elapsed = time.perf_counter() - self._start
        return {**self._phases, "other": elapsed - sum(self._phases.values())}, elapsed
