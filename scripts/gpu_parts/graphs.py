"""How CUDA graphs are switched off: the one place that knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from trpo_cli.simulators.warp import simulator


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """Trainings that are made inside launch each kernel by itself, in the simulator."""
    made = simulator.WarpSimulator
    simulator.WarpSimulator = partial(made, graphs=False)  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        simulator.WarpSimulator = made  # type: ignore[misc]
