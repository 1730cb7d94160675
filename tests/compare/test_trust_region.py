"""Measures from rows made by hand; each rule of the diagnosis on both sides of its threshold."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic import write_run
from trpo_cli.compare.diagnosis import RULES, diagnose
from trpo_cli.compare.groups import Group, make_groups
from trpo_cli.compare.read import find_runs
from trpo_cli.compare.trust_region import (
    MEASURES,
    Summary,
    allowed_kl,
    binned,
    column,
    kl_against_model,
    kl_used,
    rejected,
    summarise,
)


@pytest.fixture
def make_group(tmp_path: Path) -> Any:
    def write(*settings: dict[str, Any]) -> Group:
        for i, chosen in enumerate(settings):
            write_run(tmp_path / f"{i:02}", **{"seed": i, **chosen})
        (found,) = make_groups(find_runs([str(tmp_path)]).runs).groups.values()
        return found

    return write


def some_rejected(i: int) -> dict[str, Any]:
    """Every fourth of the updates fails on the bound, the others use half of it."""
    if i % 4:
        return {"policy/kl": 0.005, "trust_region/predicted_kl": 0.004}
    return {
        "trust_region/accepted": 0,
        "trust_region/reason": "KL bound",
        "trust_region/backtracks": 10,
        "policy/kl": 0.0,
        "trust_region/predicted_kl": 0.0,
        "trust_region/expected_improvement": 0.0,
        "trust_region/actual_improvement": 0.0,
    }


class TestMeasures:
    def test_ratios_are_of_accepted_updates(self, make_group):
        (run,) = make_group({"row": some_rejected, "rows": 8}).runs
        expected = [math.nan, 0.5, 0.5, 0.5] * 2
        assert kl_used(run) == pytest.approx(expected, nan_ok=True)
        assert kl_against_model(run)[1] == pytest.approx(1.25)
        assert rejected(run).tolist() == [1, 0, 0, 0] * 2

    def test_the_allowed_kl_follows_the_schedule(self, make_group):
        """4 updates of a quarter of training each: remaining 1, 3/4, 1/2, 1/4 before them."""
        (run,) = make_group({"rows": 4, "algo__schedule": "linear"}).runs
        assert allowed_kl(run) == pytest.approx([0.01, 0.0075, 0.005, 0.0025])

    def test_rules_without_a_trust_region_have_none(self, make_group):
        (run,) = make_group({"algo": "ppo"}).runs
        assert np.isnan(allowed_kl(run)).all() and np.isnan(kl_used(run)).all()

    def test_the_schedule_of_a_step_size_leaves_the_bound(self, make_group):
        """Of `dual`, whose max_kl is constant."""
        (run,) = make_group({"algo": "dual", "rows": 8}).runs
        assert allowed_kl(run) == pytest.approx([0.01] * 8)

    def test_a_fixed_natural_step_has_no_allowed_kl(self, make_group):
        (run,) = make_group({"algo": "npg", "algo__step_rule": "fixed"}).runs
        assert np.isnan(allowed_kl(run)).all()

    def test_bins_average_updates_then_runs(self, make_group):
        group = make_group(
            {"rows": 8, "row": lambda i: {"policy/kl": float(i)}},
            {"rows": 8, "row": lambda i: {"policy/kl": 10.0 + i}},
        )
        found = binned(group, column("policy/kl"), bins=4)
        assert found is not None
        assert found.places["steps"].tolist() == [3000, 9000, 15_000, 21_000]
        assert found.low.tolist() == [0.5, 2.5, 4.5, 6.5]
        assert found.mean.tolist() == [5.5, 7.5, 9.5, 11.5]
        assert found.high.tolist() == [10.5, 12.5, 14.5, 16.5]

    def test_bins_end_with_the_shortest_run(self, make_group):
        group = make_group({"rows": 8}, {"rows": 8, "steps": 12_000, "total_steps": 24_000})
        found = binned(group, column("policy/kl"))
        assert found is not None and found.places["steps"].max() < 12_000

    def test_every_measure_reads_what_some_rule_reports(self, make_group, tmp_path):
        shown = set()
        for algo in ("trpo", "ppo"):
            write_run(tmp_path / algo / "run", algo)
        grouping = make_groups(find_runs([str(tmp_path)]).runs)
        for group in grouping.groups.values():
            shown |= {m.name for m in MEASURES if binned(group, m.values) is not None}
        assert shown == {m.name for m in MEASURES}


class TestSummary:
    def test_of_a_group(self, make_group):
        found = summarise(make_group({"row": some_rejected, "rows": 8}, {"rows": 8}))
        assert found.updates == 16
        assert found.rejected == pytest.approx(2 / 16)
        assert found.rejections == {"KL bound": pytest.approx(2 / 16)}
        assert found.backtracks == 0.0  # of accepted updates only
        # Six updates at 0.5 of the bound, eight at 0.8.
        assert found.kl_used == pytest.approx(0.8)
        assert found.kl_largest == pytest.approx(0.8)
        # One measurement of each run: too few for an error.
        assert (found.in_sample, found.held_out) == (0.08, 0.004)
        assert found.held_out_share == pytest.approx(0.05) and math.isnan(found.held_out_error)
        assert found.explained_variance == 0.8
        assert math.isnan(found.clip_fraction) and math.isnan(found.skipped)

    def test_held_out_gains_and_their_error(self, make_group):
        """0.004 and -0.002 in turns: a mean of 0.001, and 0.003 sqrt(12 / 11) / sqrt(12)."""
        row = {"trust_region/in_sample_improvement": 0.05}
        found = summarise(
            make_group(
                {
                    "row": lambda i: {
                        **row,
                        "trust_region/held_out_improvement": 0.004 - i % 2 * 0.006,
                    }
                }
            )
        )
        assert found.held_out == pytest.approx(0.001)
        assert found.held_out_share == pytest.approx(0.02)
        assert found.held_out_error == pytest.approx(0.003 / math.sqrt(11))

    def test_explained_variance_is_that_of_the_second_half(self, make_group):
        found = summarise(
            make_group({"row": lambda i: {"value/explained_variance": float(i >= 6)}})
        )
        assert found.explained_variance == 1.0

    def test_updates_that_were_skipped(self, make_group):
        found = summarise(
            make_group(
                {"algo": "vpg", "rows": 10, "row": lambda i: {"policy/skipped": "x" * (i == 3)}}
            )
        )
        assert found.skipped == pytest.approx(0.1)
        assert math.isnan(found.rejected) and found.rejections == {}

    def test_far_over_the_bound(self, make_group):
        """0.02 and 0.0149 against 0.01: only the first is over it by more than half."""
        row = {0: {"policy/kl": 0.02}, 1: {"policy/kl": 0.0149}}
        found = summarise(make_group({"algo": "npg", "rows": 4, "row": lambda i: row.get(i, {})}))
        assert found.over_bound == 0.25


GOOD = Summary(
    updates=100,
    kl=0.008,
    over_bound=0.0,
    kl_used=0.8,
    kl_largest=1.0,
    kl_model=1.1,
    improvement_model=0.9,
    rejected=0.02,
    rejections={"KL bound": 0.01, "no improvement": 0.01},
    backtracks=0.5,
    in_sample=0.08,
    held_out=0.004,
    held_out_error=0.001,
    held_out_share=0.05,
    clip_fraction=0.1,
    explained_variance=0.8,
    skipped=0.0,
)
NUMBERS: dict[str, Any] = {k: math.nan for k, v in vars(GOOD).items() if isinstance(v, float)}
NOTHING = dataclasses.replace(GOOD, rejections={}, **NUMBERS)

# rule, what is wrong, words; what is just not wrong.
CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "kl_rejections",
        {"rejections": {"KL bound": 0.31}},
        "31% of line searches failed on the KL bound: the quadratic model is poor at this batch "
        "size; more data or a smaller max_kl",
        {"rejections": {"KL bound": 0.09}},
    ),
    (
        "improvement_rejections",
        {"rejections": {"no improvement": 0.2}},
        "20% of line searches found no improvement",
        {"rejections": {"no improvement": 0.09}},
    ),
    (
        "other_rejections",
        {"rejections": {"curvature is not positive": 0.02}},
        "curvature is not positive (2.0%)",
        {"rejections": {"curvature is not positive": 0.005}},
    ),
    ("long_backtracking", {"backtracks": 3.0}, "shortened 3.0 times", {"backtracks": 1.9}),
    ("damped_steps", {"kl_used": 0.2}, "20% of the allowed KL: the damping", {"kl_used": 0.41}),
    (
        "shortened_steps",
        {"kl_used": 0.2, "backtracks": 1.5},
        "20% of the allowed KL: the line search shortens",
        {"kl_used": 0.41, "backtracks": 1.5},
    ),
    ("beyond_bound", {"over_bound": 0.3}, "30% of updates exceed", {"over_bound": 0.09}),
    ("poor_quadratic_model", {"kl_model": 2.5}, "2.5 times the predicted", {"kl_model": 1.9}),
    (
        "poor_linear_model",
        {"improvement_model": 0.3},
        "achieve 30% of the expected",
        {"improvement_model": 0.6},
    ),
    (
        "fitted_noise",
        {"held_out": -0.0008, "held_out_share": -0.01},
        "explain noise: +0.08 in sample, -0.0008 held out (-1.0%)",
        {"held_out": 0.0021},
    ),
    ("much_clipping", {"clip_fraction": 0.4}, "40% of samples end outside", {"clip_fraction": 0.2}),
    ("no_clipping", {"clip_fraction": 0.001}, "only 0.1% of samples", {"clip_fraction": 0.02}),
    (
        "blind_value",
        {"explained_variance": -0.1},
        "explains -10% of the variance",
        {"explained_variance": 0.25},
    ),
    ("skipped_updates", {"skipped": 0.05}, "5.0% of updates did not move", {"skipped": 0.005}),
]


class TestDiagnosis:
    def test_nothing_is_said_of_good_updates_or_of_none(self):
        assert diagnose(GOOD) == []
        assert diagnose(NOTHING) == []

    @pytest.mark.parametrize(("rule", "wrong", "words", "fine"), CASES, ids=lambda c: str(c)[:20])
    def test_a_rule_speaks_of_its_own_fault_only(self, rule, wrong, words, fine):
        (said,) = diagnose(dataclasses.replace(GOOD, **wrong))
        assert words in said
        spoke = [name for name, r in RULES.items() if r.holds(dataclasses.replace(GOOD, **wrong))]
        assert spoke == [rule]
        assert diagnose(dataclasses.replace(GOOD, **fine)) == []

    def test_every_rule_has_a_case(self):
        assert list(RULES) == [case[0] for case in CASES]


def test_labels_fit_beside_their_panels():
    """A figure of the page is 250 pixels high, of which 200 are beside the axes; a letter of its
    label has about 6."""
    assert max(len(measure.unit) for measure in MEASURES) <= 200 // 6
