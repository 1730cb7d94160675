"""The stored results: what goes in comes out, once, and in the same order."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference.results import result
from trpo_cli.reference import store
from trpo_cli.reference.store import Evaluation, Trial, differing


def test_what_goes_in_comes_out_to_the_digits_that_are_kept(tmp_path: Path) -> None:
    run = result(sampled=Evaluation(1234.5678, 0.123456789, 100))
    store.add(tmp_path, [run])
    (found,) = store.read(tmp_path)
    assert found.sampled == Evaluation(1234.57, 0.123457, 100)
    np.testing.assert_allclose(found.returns, run.returns, rtol=5e-5)
    np.testing.assert_allclose(found.steps, run.steps, rtol=1e-5)
    exact = ("settings", "seed", "cpu_seconds", "normalizer_kl", "versions", "deterministic")
    assert all(getattr(found, name) == getattr(run, name) for name in exact)


def test_steps_lie_close_at_the_start() -> None:
    """A sixteenth of the places is (1/16)^1.5 of the way, a quarter (1/4)^1.5."""
    steps = store.spaced(0.0, 1.0, 17)
    assert steps[0] == 0.0 and steps[-1] == 1.0
    assert steps[4] == pytest.approx(1 / 8) and steps[1] == pytest.approx(1 / 64)


def test_the_same_seed_of_a_cell_takes_its_place(tmp_path: Path) -> None:
    assert store.add(tmp_path, [result(0), result(1)]) == 0
    assert store.add(tmp_path, [result(1, final=500.0, version="0.2.0")]) == 1
    assert [(r.seed, r.sampled.mean) for r in store.read(tmp_path)] == [(0, 1000.0), (1, 500.0)]


def test_adding_again_changes_no_byte_whatever_the_order(tmp_path: Path) -> None:
    runs = [result(seed, env=env) for env in ("Hopper-v4", "Ant-v4") for seed in range(3)]
    store.add(tmp_path, runs)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    store.add(tmp_path, runs[::-1])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert before.keys() == {"Ant-v4.jsonl", "Hopper-v4.jsonl", "settings.jsonl"}


@pytest.mark.parametrize(
    "change",
    [{"settings": {"algo.max_kl": 0.02}}, {"total_steps": 3_000_000}, {"sampler": "vine"}],
    ids=str,
)
def test_another_cell_stands_beside_it(tmp_path: Path, change: dict[str, Any]) -> None:
    store.add(tmp_path, [result()])
    assert store.add(tmp_path, [result(**change)]) == 0
    assert len(store.read(tmp_path, "Hopper-v4")) == 2
    assert store.read(tmp_path, "Ant-v4") == []


def test_a_setting_that_only_one_version_has_is_no_difference(tmp_path: Path) -> None:
    newer = result(settings={**result().settings, "policy.new": 3})
    assert differing(newer.settings, result().settings) == {}
    store.add(tmp_path, [result()])
    assert store.add(tmp_path, [newer]) == 1
    # What no run has any more goes too.
    assert list(store.read_settings(tmp_path).values()) == [newer.settings]


def test_trials_are_a_table(tmp_path: Path) -> None:
    one = Trial("Hopper-v4", "ppo", "single_path", 300_000, "algo.epochs=4", "a1b2c3d4", 1000,
                2000.5, 900.0, 30.0, "0.1.0", "0123456789")  # fmt: skip
    other = dataclasses.replace(one, seed=1001, final=1.0)
    assert store.add_trials(tmp_path, [other, one]) == 0
    assert store.add_trials(tmp_path, [dataclasses.replace(one, final=7.0)]) == 1
    assert store.read_trials(tmp_path) == [dataclasses.replace(one, final=7.0), other]
    head, *rows = (tmp_path / store.TUNING).read_text().splitlines()
    assert head.startswith("env,algo,sampler,total_steps,changes,settings,seed,final")
    assert rows[0].startswith("Hopper-v4,ppo,single_path,300000,algo.epochs=4,a1b2c3d4,1000,7,900")
    # The same settings once they are the defaults are the same trial.
    store.add_trials(tmp_path, [dataclasses.replace(one, changes="")])
    assert [t.changes for t in store.read_trials(tmp_path)] == ["", "algo.epochs=4"]
