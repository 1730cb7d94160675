"""From runs with known numbers to the comparison and its words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic import write_run, write_sample
from trpo_cli.compare.align import Curve
from trpo_cli.compare.analyse import analyse, crossing
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.read import find_runs
from trpo_cli.compare.results import Comparison, Options
from trpo_cli.compare.statistics import aggregate_interval, detectable_difference, holm, welch
from trpo_cli.compare.verdict import number, verdict
from trpo_cli.errors import UserError

TWO = {
    ("Hopper-v4", "trpo"): [100.0, 110.0, 95.0, 105.0, 99.0],
    ("Hopper-v4", "ppo"): [300.0, 310.0, 290.0, 305.0, 302.0],
    ("Walker2d-v4", "trpo"): [200.0, 250.0, 230.0, 190.0, 260.0],
    ("Walker2d-v4", "ppo"): [210.0, 240.0, 220.0, 205.0, 245.0],
}


def compare(folder: Path, **changes: Any) -> Comparison:
    chosen = {"axis": "steps", "curve": None, "thresholds": {}, "normalise": "", **changes}
    return analyse(make_groups(find_runs([str(folder)]).runs), Options(**chosen), ["a note"])


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return write_sample(tmp_path, TWO)


class TestComparison:
    def test_curves_are_means_over_runs(self, two):
        env = compare(two).envs[0]
        trpo = env.groups[0]
        drawn = trpo.curves["steps"]
        assert drawn.curves.shape == (5, 200)
        assert drawn.x[[0, -1]].tolist() == [4000, 24_000]  # the first row has no return yet
        assert drawn.mean[-1] == pytest.approx(np.mean(TWO["Hopper-v4", "trpo"]))
        # From 20 at the start, linear: at the first point 2/12 of the way.
        expected = 20 + (np.mean(TWO["Hopper-v4", "trpo"]) - 20) * 2 / 12
        assert drawn.mean[0] == pytest.approx(expected)
        # The mean height of a straight line is the middle of its ends.
        assert trpo.area.value == pytest.approx((drawn.mean[0] + drawn.mean[-1]) / 2)

    def test_a_group_ends_with_its_shortest_run_and_no_other(self, tmp_path):
        for seed, steps in enumerate((24_000, 12_000)):
            write_run(tmp_path / f"trpo{seed}", seed=seed, steps=steps, total_steps=24_000)
            write_run(tmp_path / f"ppo{seed}", "ppo", seed=seed)
        trpo, ppo = compare(tmp_path).envs[0].groups
        assert tuple(g.curves["steps"].x[-1] for g in (trpo, ppo)) == (12_000, 24_000)

    def test_pairs_are_corrected_over_all_environments(self, two):
        found = compare(two)
        raw = [welch(TWO[env, "trpo"], TWO[env, "ppo"]).p for env in ("Hopper-v4", "Walker2d-v4")]
        assert [p.p for p in found.pairs] == pytest.approx(holm(raw))
        assert [p.clear for p in found.pairs] == [True, False]
        x, y = TWO["Walker2d-v4", "trpo"], TWO["Walker2d-v4", "ppo"]
        expected = detectable_difference(x, y, alpha=0.025)
        assert found.pairs[1].detectable == pytest.approx(expected)

    def test_the_aggregate_is_of_normalised_scores(self, two):
        found = compare(two)
        strata = []
        for env in found.envs:
            assert env.scale is not None
            best = max(np.mean(TWO[env.env, a]) for a in ("trpo", "ppo"))
            assert env.scale.high == pytest.approx(best)
            strata.append(env.scale(TWO[env.env, "trpo"]))
        assert found.aggregate["trpo"] == aggregate_interval(strata)

    def test_one_environment_has_no_aggregate(self, tmp_path):
        write_sample(tmp_path, {("Hopper-v4", a): [1.0, 2.0] for a in ("trpo", "ppo")})
        assert compare(tmp_path).aggregate == {}

    def test_environments_that_a_group_lacks_are_not_averaged_over(self, two):
        for seed in range(5):
            write_run(two / "extra" / str(seed), "ppo", "Swimmer-v4", seed, final=9e9)
        found = compare(two)
        assert found.aggregate == compare_without_extra(two).aggregate

    def test_improvement_is_averaged_over_environments(self, two):
        (found,) = compare(two).improvements
        hopper = 0.0  # no run of trpo above one of ppo
        x, y = np.array(TWO["Walker2d-v4", "trpo"]), np.array(TWO["Walker2d-v4", "ppo"])
        assert found.probability.value == pytest.approx((hopper + (x[:, None] > y).mean()) / 2)
        assert (found.envs, found.probability.n) == (2, 5)

    def test_thresholds(self, two):
        default = compare(two).envs[0]
        # 80% of the way from the mean first value to the best group's mean last one.
        first = np.mean([g.curves["steps"].curves[:, 0].mean() for g in default.groups])
        assert default.threshold == pytest.approx(first + 0.8 * (301.4 - first))
        trpo, ppo = compare(two, thresholds={"Hopper-v4": 104.0}).envs[0].groups
        assert (trpo.steps.reached, ppo.steps.reached) == (2, 5)
        assert trpo.steps.median == math.inf
        # ppo passes 104 once 20 + 281 k/12 does: in the fourth row of every run.
        assert ppo.steps.median == 8000 and ppo.seconds.median == 8.0

    def test_a_fast_run_that_never_arrives_does_not_shorten_the_seconds(self):
        """It ends after 5 seconds; Kaplan-Meier would leave 1 of 1 at risk at 9."""

        def curve(*y: float) -> Curve:
            return Curve(np.array([1.0, 5.0, 9.0])[: len(y)], np.array(y))

        runs = [curve(0.0, 0.0), curve(0.0, 1.0), curve(0.0, 1.0, 7.0)]
        in_seconds, in_steps = (crossing(runs, 7.0, budget=b) for b in (False, True))
        assert (in_seconds.median, in_seconds.reached) == (math.inf, 1)
        assert in_steps.median == 9.0

    def test_a_curve_along_every_axis(self, two):
        """Rows of 2 seconds, the first without a return."""
        curves = compare(two).envs[0].groups[0].curves
        ends = {axis: drawn.x[[0, -1]].tolist() for axis, drawn in curves.items()}
        assert ends == {"steps": [4000, 24_000], "seconds": [4.0, 24.0], "updates": [2, 12]}

    def test_runs_that_share_no_range(self, tmp_path):
        write_run(tmp_path / "a", rows=12, steps=24_000)
        write_run(tmp_path / "b", "ppo", rows=2, steps=2000, total_steps=24_000)
        with pytest.raises(UserError, match="no range of steps in common"):
            compare(tmp_path)

    def test_human_scores_where_all_know_them(self, tmp_path):
        write_sample(tmp_path, {("ALE/Pong-v5", "ppo"): [-3.0, -5.0]}, backend="atari")
        scale = compare(tmp_path).envs[0].scale
        assert scale is not None and (scale.low, scale.high) == (-20.4, -3.0)
        ranged = compare(tmp_path, normalise="range").envs[0].scale
        assert ranged is not None and (ranged.low, ranged.high) == (-5.0, -3.0)

    def test_one_kind_of_scale_for_all_environments(self, tmp_path):
        write_sample(tmp_path, {("ALE/Pong-v5", "ppo"): [-3.0, -5.0]}, backend="atari")
        write_sample(tmp_path, {("Hopper-v4", "ppo"): [300.0, 500.0]})
        scales = [env.scale for env in compare(tmp_path).envs]
        assert all(scale is not None and "human" not in scale.words for scale in scales)
        with pytest.raises(UserError, match="no random and no human score for Hopper-v4"):
            compare(tmp_path, normalise="human")


def compare_without_extra(folder: Path) -> Comparison:
    runs = [run for run in find_runs([str(folder)]).runs if run.env != "Swimmer-v4"]
    return analyse(make_groups(runs), Options("steps", None, {}, ""), [])


class TestVerdict:
    def test_a_clear_lead_an_open_one_and_the_rest(self, two):
        words = verdict(compare(two))
        assert words.startswith(
            "On Hopper-v4 ppo has the highest mean, 301 ± 7.4 over 5 runs; it is ahead of trpo by "
            "200 (95% interval 190 to 209, adjusted p < 0.001)."
        )
        assert "On Walker2d-v4 trpo has the highest mean, 226 ± 30.5 over 5 runs; it cannot be" in (
            words
        )
        assert "would have been found with probability 80%" in words
        assert "p-values are corrected for 2 comparisons (Holm)" in words
        # 25 of 25 on one environment, about half on the other: five runs do not decide.
        assert "No pair has a probability of improvement clear of one half" in words
        assert "Warning" not in words

    def test_a_one_sided_pair_is_named_with_its_interval(self, tmp_path):
        samples = {(e, "trpo"): [1.0, 2.0, 3.0, 4.0] for e in ("Hopper-v4", "Ant-v4")}
        samples |= {(e, "ppo"): [5.0, 6.0, 7.0, 8.0] for e in ("Hopper-v4", "Ant-v4")}
        words = verdict(compare(write_sample(tmp_path, samples)))
        assert "a run of ppo exceeds one of trpo with probability 1.00 (0.7" in words

    def test_three_runs_lead_only_if_they_are_normal(self, tmp_path):
        few = {("Hopper-v4", "trpo"): [100.0, 101.0, 99.0], ("Hopper-v4", "ppo"): [300.0, 301, 299]}
        words = verdict(compare(write_sample(tmp_path, few)))
        assert "ahead of trpo by 200" in words
        assert "if runs vary normally, which so few cannot show" in words
        assert "Warning: as few as 3 runs" in words

    def test_a_single_group(self, tmp_path):
        words = verdict(compare(write_sample(tmp_path, {("Hopper-v4", "trpo"): [1.0, 2.0, 3.0]})))
        assert "there is only trpo: 2 ± 1 over 3 runs" in words
        assert "nothing to compare it with" in words

    @pytest.mark.parametrize(
        ("value", "text"),
        [(1234567.8, "1,234,568"), (99.96, "100"), (-0.01234, "-0.0123"), (0.0, "0")],
    )
    def test_numbers(self, value, text):
        assert number(value) == text
        assert (number(math.inf), number(math.nan)) == ("∞", "-")
