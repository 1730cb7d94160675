"""Where runs lie among stored ones, against cases whose answer is plain."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reference.results import result
from trpo_cli.compare.groups import Group, make_groups
from trpo_cli.compare.read import Run
from trpo_cli.errors import UserError
from trpo_cli.reference import beside, store
from trpo_cli.reference.place import in_words, nearest, place, place_all
from trpo_cli.reference.runs import as_run
from trpo_cli.reference.store import Result

LEVELS = (900.0, 950.0, 1000.0, 1050.0, 1100.0)


def stored(**changes: Any) -> list[Result]:
    return [result(seed, level, **changes) for seed, level in enumerate(LEVELS)]


def runs(finals: Sequence[float], **changes: Any) -> Group:
    made = tuple(as_run(result(seed, final, **changes)) for seed, final in enumerate(finals))
    return Group("Hopper-v4", "trpo", made)


def without_training(run: Run) -> Run:
    nothing = np.full(run.columns["step"].shape, np.nan)
    return dataclasses.replace(run, columns={**run.columns, "train/return_mean": nothing})


class TestPlace:
    def test_compared_is_the_second_half(self) -> None:
        placed = place(runs([1000.0]), stored())
        # A line to its final value is at 0.75 of it in the middle of its second half.
        assert placed.theirs == pytest.approx([0.75 * level for level in LEVELS])
        assert placed.mine == pytest.approx([750.0], rel=1e-3)
        assert placed.steps == 1_000_000

    def test_shorter_runs_are_judged_where_they_end(self) -> None:
        """Of a line to 500 in half the steps the stored ones have the same at half of theirs."""
        steps = store.spaced(2048.0, 5e5, 50)
        short = runs([500.0], steps=steps, returns=1000.0 * steps / 1e6, total_steps=500_000)
        placed = place(short, stored())
        assert placed.steps == 500_000
        assert placed.theirs == pytest.approx([0.375 * level for level in LEVELS])
        assert placed.verdict == "as expected"

    def test_the_expected_interval_is_that_of_new_runs(self) -> None:
        placed = place(runs([1000.0, 1000.0]), stored())
        # Student's 97.5% point with 5 degrees of freedom, by the tables; the five levels have
        # squares of 25,000 about their mean, the two new runs none.
        half = 2.570582 * 0.75 * math.sqrt(25_000 / 5) * math.sqrt(1 / 2 + 1 / 5)
        assert (placed.low, placed.high) == pytest.approx((750 - half, 750 + half), rel=1e-5)

    @pytest.mark.parametrize(
        ("finals", "verdict", "where"),
        [
            ([1000.0, 1010.0], "as expected", "in the upper half of 5 reference runs"),
            ([940.0, 920.0], "as expected", "in the lower quarter of 5 reference runs"),
            ([700.0, 600.0], "lower", "below all 5 reference runs"),
            ([1500.0, 1400.0], "higher", "above all 5 reference runs"),
            ([990.0, 1010.0], "as expected", "in the middle of 5 reference runs"),
        ],
    )
    def test_in_words(self, finals: list[float], verdict: str, where: str) -> None:
        placed = place(runs(finals), stored())
        assert (placed.verdict, placed.where) == (verdict, where)
        said = in_words(placed)
        assert f"trpo on Hopper-v4 lies {where} after 1,000,000 steps" in said
        assert verdict.capitalize() in said

    def test_runs_of_the_same_kind_fall_outside_one_time_in_twenty(self) -> None:
        """600 draws: the share has a standard deviation of 0.009, and three of them are allowed."""
        random = np.random.default_rng(0)
        outside = 0
        for _ in range(600):
            levels = random.normal(1000.0, 100.0, size=8)
            known = [result(i, level) for i, level in enumerate(levels[:5])]
            outside += place(runs(levels[5:].tolist()), known).verdict != "as expected"
        assert outside / 600 == pytest.approx(0.05, abs=0.027)

    def test_too_few_to_show_a_difference_is_said(self) -> None:
        said = in_words(place(runs([850.0]), stored()[:2]))
        assert "lies below all 2 reference runs" in said and "As expected" in said
        assert said.endswith("More runs, of either kind, could show a difference.")

    def test_one_stored_run_leaves_it_open(self) -> None:
        placed = place(runs([700.0]), stored()[:1])
        assert placed.verdict == "open" and placed.where == "below the reference run"
        assert "says nothing about what is to be expected" in in_words(placed)

    def test_where_all_reach_the_ceiling_a_hair_below_is_no_news(self) -> None:
        ceiling = [result(seed, 1000.0) for seed in range(5)]
        assert place(runs([995.0, 999.0]), ceiling).verdict == "as expected"
        assert place(runs([980.0, 985.0]), ceiling).verdict == "lower"

    def test_what_else_differs_is_said(self) -> None:
        other = {**result().settings, "discount": 0.9, "algo.schedule": "linear"}
        theirs = stored(settings={**result().settings, "algo.schedule": "linear"})
        group = runs([500.0], settings=other, total_steps=500_000, versions={"mujoco": "4.0.1"})
        said = in_words(place(group, theirs))
        assert "Settings that differ: discount=0.9 (there 0.99)." in said
        assert "total_steps, which is 500,000 here and 1,000,000 there" in said
        assert "Libraries that differ: mujoco 4.0.1 (there 3.17.0)." in said

    def test_no_finished_episode_is_refused(self) -> None:
        group = runs([1.0])
        with pytest.raises(UserError, match="No training episode"):
            place(Group("Hopper-v4", "trpo", (without_training(group.runs[0]),)), stored())


class TestWhichAreTaken:
    def test_the_cell_that_is_most_alike(self) -> None:
        tuned = {**result().settings, "algo.max_kl": 0.02, "discount": 0.995}
        cells = [*stored(), *stored(settings=tuned), *stored(total_steps=3_000_000)]
        for wanted, mine in [
            (result(total_steps=800_000), (0.01, 1_000_000)),
            (result(total_steps=2_900_000), (0.01, 3_000_000)),
            (result(settings={**tuned, "discount": 0.9}), (0.02, 1_000_000)),
        ]:
            found = nearest(as_run(wanted), cells)
            assert [r.seed for r in found] == [0, 1, 2, 3, 4]
            assert {(r.settings["algo.max_kl"], r.total_steps) for r in found} == {mine}

    def test_other_versions_samplers_and_rules_are_not(self, tmp_path: Path) -> None:
        store.add(tmp_path, [result(env="Hopper-v5"), result(sampler="vine"), result(algo="npg")])
        placed, notes = place_all(make_groups([as_run(result())]), tmp_path)
        assert placed == []
        assert notes == [
            "No reference run is stored of trpo on Hopper-v4, so that nothing is said about trpo "
            "there."
        ]

    def test_every_group_has_its_place(self, tmp_path: Path) -> None:
        store.add(tmp_path, [*stored(), *stored(env="Ant-v4"), *stored(algo="npg")])
        mine = [result(), result(env="Ant-v4"), result(algo="npg")]
        placed, notes = place_all(make_groups(list(map(as_run, mine))), tmp_path)
        assert {(p.group.env, p.group.label) for p in placed} == {
            ("Hopper-v4", "trpo"), ("Ant-v4", "trpo"), ("Hopper-v4", "npg")
        }  # fmt: skip
        assert notes == [] and all(len(p.theirs) == 5 for p in placed)


def test_a_run_cut_short_is_what_it_was_by_then() -> None:
    whole = result(0, 1000.0)
    half = beside.cut(whole, 500_000)
    assert half.steps[-1] == 500_000 and half.returns[-1] == pytest.approx(500.0)
    assert (half.seconds, half.updates) == (150.0, 244)
    assert beside.cut(whole, 2_000_000) is whole
