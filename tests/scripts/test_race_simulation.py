"""scripts/race_simulation.py: its runs are what it says, and its races stop where they should."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from trpo_cli.compare.sequential import Design

SCRIPT = Path(__file__).parents[2] / "scripts/race_simulation.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("race_simulation", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shape", ["normal", "exponential", "failing"])
def test_runs_have_mean_0_and_variance_1(simulation: ModuleType, shape: str) -> None:
    """Of 100,000 the mean has a standard error of 0.003, the variance of 0.009 at most (that of
    exponential ones, whose fourth central moment is 9)."""
    runs = simulation.draw(np.random.default_rng(0), shape, (100_000,))
    assert abs(runs.mean()) < 0.013 and abs(runs.var() - 1.0) < 0.036


def test_groups_stop_with_their_last_open_pair(simulation: ModuleType) -> None:
    """The third group is far behind at the first look, the others are the same numbers."""
    first = np.random.default_rng(1).normal(size=20)
    samples = np.stack([first, first, first - 100.0])[None]
    found = simulation.race(samples, Design((6, 9, 14, 20), 3, 0.05))
    assert found.order.tolist() == [[False, True, True]]
    assert found.x_leads.tolist() == [[False, True, True]]
    assert not found.smaller.any()
    assert found.seeds.tolist() == [(20 + 20 + 6) / 3]
    closer = simulation.race(samples[:, :2], Design((5, 8), 1, 0.05), 50.0)
    assert closer.smaller.tolist() == [[True]] and closer.seeds.tolist() == [5.0]
