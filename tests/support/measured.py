"""Things to measure in a benchmark's process; without pytest, so that it starts fast."""

from __future__ import annotations

import os

from benchmark.worker import Lap, Work
from trpo_cli.system.machine import usable_cores


def counting() -> Work:
    """The n-th call takes n steps in half a second, it says; its phase is the number of cores."""
    calls = 0

    def work() -> Lap:
        nonlocal calls
        calls += 1
        return Lap(calls, 0.5, {"cores": usable_cores()})

    return work


def refusing(reason: str) -> Work:
    raise ValueError(reason)


def dying() -> Work:
    os._exit(7)


def failing_later() -> Work:
    """Works while it warms up, and once more."""
    calls = 0

    def work() -> Lap:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise RuntimeError("worn out")
        print("not a figure")
        return Lap(1, 1.0)

    return work
