"""How CUDA graphs are switched off: the one place that knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from trpo_cli.models import device_steps


@contextlib.contextmanager
def captured(yes: bool) -> Iterator[None]:
    """Whether minibatch steps inside are captured."""
    before = device_steps.CAPTURE
    device_steps.CAPTURE = yes
    try:
        yield
    finally:
        device_steps.CAPTURE = before


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """Trainings that are made and run inside launch each kernel by itself, those of MuJoCo Warp
    too, which has to be installed."""
    from trpo_cli.simulators.warp import simulator

    made = simulator.WarpSimulator
    simulator.WarpSimulator = partial(made, graphs=False)  # type: ignore[assignment, misc]
    try:
        with captured(False):
            yield
    finally:
        simulator.WarpSimulator = made  # type: ignore[misc]
