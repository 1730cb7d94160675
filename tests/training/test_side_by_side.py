"""The policy's update and the value function's fit, at the same time where they share nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.training.test_loop import make_config, rows_of
from trpo_cli.algos.trpo import TRPO
from trpo_cli.errors import RunFailed
from trpo_cli.models.value import Value
from trpo_cli.models.values.quadratic import QuadraticValueConfig
from trpo_cli.training.trainer import Training


@pytest.fixture
def fitted_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that fitted a value function, in turn."""
    names: list[str] = []
    real = Value.fit

    def fit(*args: Any, **settings: Any) -> Any:
        names.append(threading.current_thread().name)
        return real(*args, **settings)

    monkeypatch.setattr(Value, "fit", fit)
    return names


@pytest.mark.parametrize("rule", ["trpo", "ppo"])
def test_the_rows_are_those_of_one_thread(rule, fitted_by):
    alone, _ = rows_of(make_config("Hopper-v4", rule))
    assert set(fitted_by) == {"MainThread"}
    fitted_by.clear()
    beside, _ = rows_of(make_config("Hopper-v4", rule, threads=2))
    assert "MainThread" not in fitted_by and len(fitted_by) == 3
    assert alone == beside


def test_other_value_functions_wait():
    config = make_config("Hopper-v4", "trpo", value=QuadraticValueConfig(ridge=1e-3))
    assert rows_of(config)[0] == rows_of(replace(config, threads=2))[0]


def test_phases_add_up_to_the_iteration():
    """What runs at the same time is not counted twice: `other` is never negative."""
    training = Training(make_config("Hopper-v4", "ppo", threads=2))
    rows = [training.iterate() for _ in range(3)]
    training.close()
    for row in rows:
        assert min(row[key] for key in row if key.startswith("time/")) >= 0.0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("where", [TRPO, Value])
def test_failures_come_out(monkeypatch, threads, where):
    name = {TRPO: "update", Value: "fit"}[where]

    def fails(*_: Any) -> Any:
        raise RunFailed("no more")

    monkeypatch.setattr(where, name, fails)
    training = Training(make_config("Hopper-v4", "trpo", threads=threads))
    with pytest.raises(RunFailed, match="no more"):
        training.iterate()
    training.close()
