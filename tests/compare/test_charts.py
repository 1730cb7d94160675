"""What the page's figures are drawn from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic import write_run
from trpo_cli.compare.analyse import analyse
from trpo_cli.compare.charts import Axis, Chart, Line, chart_of_curves, chart_of_measure, to_json
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.metric import AXES
from trpo_cli.compare.plots import all_plots
from trpo_cli.compare.read import find_runs
from trpo_cli.compare.results import EnvResult, Options
from trpo_cli.compare.trust_region import MEASURES


def environment(
    folder: Path, sizes: dict[str, int], ends: dict[str, int] | None = None
) -> EnvResult:
    for algo, n in sizes.items():
        steps = (ends or {}).get(algo, 24_000)
        for seed in range(n):
            write_run(folder / algo / str(seed), algo, seed=seed, steps=steps, total_steps=24_000)
    groups = make_groups(find_runs([str(folder)]).runs)
    return analyse(groups, Options("steps", None, {}, ""), []).envs[0]


def kinds(chart: Chart, group: str) -> list[str]:
    return [line.kind for line in chart.axes["steps"].lines if line.group == group]


class TestCurves:
    def test_thin_lines_below_five_runs_and_a_band_with_five(self, tmp_path):
        chart = chart_of_curves(environment(tmp_path, {"trpo": 4, "ppo": 5, "vpg": 1}), {})
        assert kinds(chart, "trpo") == ["run"] * 4 + ["mean"]
        assert kinds(chart, "ppo") == ["low", "high", "mean"]
        assert kinds(chart, "vpg") == ["mean"]
        assert set(chart.axes) == {"steps", "seconds", "updates"}

    def test_a_group_has_no_value_beyond_its_end(self, tmp_path):
        chart = chart_of_curves(environment(tmp_path, {"trpo": 2, "ppo": 2}, {"trpo": 12_000}), {})
        x, lines = chart.axes["steps"].x, chart.axes["steps"].lines
        trpo, ppo = (
            next(k.y for k in lines if (k.group, k.kind) == (g, "mean")) for g in ("trpo", "ppo")
        )
        assert x[-1] == 24_000 and 12_000 in x.tolist()
        assert (
            np.isnan(trpo[x > 12_000]).all()
            and np.isfinite(trpo[(x >= 2000) & (x <= 12_000)]).all()
        )
        assert np.isfinite(ppo[x >= 4000]).all()


def test_runs_that_do_not_meet_in_seconds_are_averaged_at_the_same_steps(tmp_path):
    """The second run took longer for its first update than the first one did for all. At row i
    they are at 1 + i and 101 + i seconds: on average at 51 + i."""
    write_run(tmp_path / "0", seed=0, row=lambda i: {"seconds": 1.0 + i})
    write_run(tmp_path / "1", seed=1, row=lambda i: {"seconds": 101.0 + i}, final=2000.0)
    groups = make_groups(find_runs([str(tmp_path)]).runs)
    for axis in AXES:
        found = analyse(groups, Options(axis, None, {}, ""), [])
        env = found.envs[0]
        curves = env.groups[0].curves
        assert set(chart_of_curves(env, {}).axes) == set(AXES)
        assert curves["seconds"].x[[0, -1]] == pytest.approx([52.0, 62.0])  # row 0 has no return
        assert (curves["seconds"].mean == curves["steps"].mean).all()
        # There is no range of seconds over which both have an area.
        assert math.isnan(env.groups[0].area.value) == (axis == "seconds")
        assert "averaged at the same steps" in all_plots(found, [], False)[0].caption


def test_the_allowed_kl_is_drawn_with_the_kl_alone(tmp_path):
    env = environment(tmp_path, {"trpo": 2, "ppo": 2})
    kl, used = (chart_of_measure(env, m) for m in MEASURES[:2])
    assert kinds(kl, "trpo") == ["low", "high", "mean", "bound"]
    assert kinds(kl, "ppo") == ["low", "high", "mean"]
    assert kl.groups == ["trpo", "ppo"] and used.groups == ["trpo"]
    # Rows of 2,000 steps and 2 seconds: the same places along another axis.
    steps, seconds = kl.axes["steps"].x, kl.axes["seconds"].x
    assert seconds == pytest.approx(np.maximum(steps / 1000, 2.0))


def test_json_has_null_for_nan_and_no_markup():
    line = Line("<a>&", "mean", np.array([np.nan, 1.23456789]))
    text = to_json(Chart({"steps": Axis(np.array([0.0, 1e6]), [line])}), title="</script>")
    assert not set("<>&") & set(text)
    found = json.loads(text)
    assert found["title"] == "</script>"
    (line_found,) = found["axes"]["steps"]["lines"]
    assert line_found == {"group": "<a>&", "kind": "mean", "y": [None, 1.2346]}
