"""One number per run, and curves on one grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic import evaluation, write_run
from trpo_cli.compare import align
from trpo_cli.compare.align import Curve, curves_of
from trpo_cli.compare.metric import EVAL_CURVE, Metric
from trpo_cli.compare.normalise import human_scale, range_scale
from trpo_cli.compare.published import caveat, highest, of_env, published
from trpo_cli.compare.read import Run, find_runs
from trpo_cli.compare.scores import (
    FINAL_EVALUATION,
    FRESH_BEST,
    PEAK,
    TRAINING_RETURN,
    best_score,
    choose_protocol,
    final_score,
)

END = 24_000
LATE = Metric("train/return_recent")


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def write(*settings: dict[str, Any]) -> list[Run]:
        for i, chosen in enumerate(settings):
            write_run(tmp_path / f"{i:02}", **{"seed": i, **chosen})
        return find_runs([str(tmp_path)]).runs

    return write


class TestProtocol:
    def test_the_final_evaluation_is_the_one_training_made_of_its_last_policy(self, make):
        lines = [
            evaluation(12_000, 1.0),  # during training
            evaluation(END, 2.0),
            evaluation(END, 3.0, checkpoint="best"),
            evaluation(END, 4.0) | {"deterministic": True},  # trpo-eval
            evaluation(END, 5.0),  # trpo-eval
        ]
        (run,) = make({"evals": lines})
        protocol = choose_protocol([run])
        assert protocol.final == FINAL_EVALUATION and protocol.notes == []
        assert final_score(run, protocol) == 2.0
        assert protocol.best == FRESH_BEST
        assert best_score(run, protocol, curves_of(run, LATE)["steps"]) == 3.0

    def test_one_run_without_an_evaluation_means_training_returns_for_all(self, make):
        runs = make({"final": 900.0}, {"final": 800.0, "evals": []})
        protocol = choose_protocol(runs)
        assert (protocol.final, protocol.best) == (TRAINING_RETURN, PEAK)
        assert "1 of 2 runs have no final evaluation" in protocol.notes[0]
        assert str(runs[1].path) in protocol.notes[0]
        assert [final_score(run, protocol) for run in runs] == [900.0, 800.0]

    def test_sampled_and_deterministic_evaluations_do_not_mix(self, make):
        lines = [evaluation(END, 7.0) | {"deterministic": True}]
        runs = make({}, {"eval__deterministic": True, "evals": lines})
        protocol = choose_protocol(runs)
        assert protocol.final == TRAINING_RETURN
        assert "some with deterministic actions" in protocol.notes[0]
        assert choose_protocol(runs[1:]).final == FINAL_EVALUATION

    def test_an_evaluation_before_the_end_is_not_final(self, make):
        (run,) = make({"evals": [evaluation(12_000, 1.0)]})
        assert choose_protocol([run]).final == TRAINING_RETURN

    def test_the_peak_is_told_to_be_optimistic(self, make):
        (run,) = make({"curve": lambda x: 4 * x * (1 - x), "start": 0.0, "final": 100.0})
        protocol = choose_protocol([run])
        assert "optimistic" in protocol.best
        training = curves_of(run, LATE)["steps"]
        assert best_score(run, protocol, training) == pytest.approx(100.0)  # at half time


class TestAlign:
    def test_linear_between_rows_and_nothing_beyond(self):
        a = Curve(np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 0.0]))
        b = Curve(np.array([5.0, 15.0]), np.array([1.0, 3.0]))
        assert align.span([a, b]) == (5.0, 15.0)
        x = align.grid([[a, b]], points=3)
        assert x.tolist() == [5.0, 10.0, 15.0]
        assert align.on_grid([a, b], x).tolist() == [[5.0, 10.0, 5.0], [1.0, 2.0, 3.0]]

    def test_mean_height_is_the_area_over_the_length(self):
        triangle = Curve(np.array([0.0, 10.0, 20.0]), np.array([0.0, 10.0, 0.0]))
        assert align.mean_height(triangle, 0.0, 20.0) == 5.0
        # From 5 to 20: a trapezium of 5 x 7.5 and a triangle of 10 x 10 / 2.
        assert align.mean_height(triangle, 5.0, 20.0) == pytest.approx((37.5 + 50) / 15)

    def test_first_crossing_is_of_a_logged_row(self):
        c = Curve(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 6.0, 2.0, 9.0]))
        assert align.first_crossing(c, 5.0) == (2.0, True)
        assert align.first_crossing(c, 6.0) == (2.0, True)
        assert align.first_crossing(c, 9.5) == (4.0, False)

    def test_rows_without_a_value_are_no_points(self, make):
        (run,) = make({"rows": 4})
        c = curves_of(run, LATE)["seconds"]
        assert c.x.tolist() == [4.0, 6.0, 8.0]
        assert curves_of(run, Metric("no/such_metric"))["steps"].empty

    def test_evaluations_as_a_curve(self, make):
        lines = [
            evaluation(6000, 1.0),
            evaluation(END, 2.0),
            evaluation(END, 9.0),  # trpo-eval, later
            evaluation(6000, 8.0, checkpoint="best"),
        ]
        (run,) = make({"evals": lines})
        c = curves_of(run, Metric(EVAL_CURVE))["steps"]
        assert (c.x.tolist(), c.y.tolist()) == ([6000.0, END], [1.0, 2.0])
        # 12 rows 2,000 steps and 2 seconds apart.
        assert curves_of(run, Metric(EVAL_CURVE))["seconds"].x.tolist() == [6.0, 24.0]


class TestNormalise:
    def test_human_scores_are_the_papers(self):
        scale = human_scale("ALE/Breakout-v5")
        assert scale is not None and (scale.low, scale.high) == (1.2, 31.0)
        assert scale([31.0, 1.2]).tolist() == [1.0, 0.0]
        assert human_scale("BreakoutNoFrameskip-v4") == scale
        assert human_scale("Hopper-v4") is None

    def test_the_range_is_from_the_start_to_the_best_group(self):
        scale = range_scale([10.0, 30.0], [[100.0, 140.0], [60.0, 60.0]])
        assert scale is not None and scale([20.0, 120.0, 70.0]).tolist() == [0.0, 1.0, 0.5]

    def test_where_nothing_was_learned_or_all_agree(self):
        scale = range_scale([50.0], [[10.0, 30.0], [20.0, 20.0]])
        assert scale is not None and (scale.low, scale.high) == (10.0, 30.0)
        assert "lowest" in scale.words
        assert range_scale([50.0], [[10.0], [10.0]]) is None


class TestPublished:
    def test_both_tables_travel_with_the_package(self):
        entries = published()
        assert len(entries) == 95 + 110 + 62
        assert all(math.isfinite(e.mean) and e.source for e in entries)

    def test_found_whatever_the_version(self):
        tianshou = [e for e in of_env("Hopper-v5") if e.algo == "npg" and e.steps == 1_000_000]
        assert [(e.mean, e.std, e.seeds) for e in tianshou] == [(1915.2, 550.5, 10)]
        assert of_env("CartPole-v1") == []

    def test_what_differs_is_said(self):
        (entry,) = [e for e in of_env("Hopper-v4") if e.algo == "npg" and e.steps == 1_000_000]
        words = caveat(entry, "Hopper-v4", 2_000_000)
        assert "v3/v2, not v4" in words and "1,000,000 steps, not 2,000,000" in words
        assert "best during training" in words
        cleanrl = [e for e in of_env("Hopper-v4") if "CleanRL" in e.source]
        assert cleanrl and caveat(cleanrl[0], "Hopper-v4", 1_000_000) == ""
        safe = [e for e in of_env("Hopper-v4") if "OmniSafe" in e.source and e.steps is None]
        words = caveat(safe[0], "Hopper-v4", 1_000_000)
        assert words == "SafetyVelocity-v1, not v4; steps not stated"

    def test_the_highest_is_of_the_same_rule_steps_and_kind_of_actions(self):
        """By hand from the sources' tables."""
        for deterministic, mean, source in [
            (True, 3372, "sb3-contrib"), (False, 2046.0, "Tianshou"), (None, 3372, "sb3-contrib")
        ]:  # fmt: skip
            found = highest("Hopper-v4", "trpo", 1_000_000, deterministic)
            assert found is not None and found.mean == mean and source in found.source
        assert highest("Hopper-v4", "trpo", 123) is None
        old = highest("Hopper-v4", "ppo", 1_000_000, None, {"v2", "v3"})
        assert old is not None and (old.mean, old.version) == (2761, "v2")
        assert highest("CartPole-v1", "trpo", 1_000_000) is None
