from __future__ import annotations

import re

import numpy as np
import pytest

from tests.support.synthetic import write_run, write_sample
from trpo_cli.compare.analyse import analyse
from trpo_cli.compare.figures import Band, Dots, Line, Panel, Plot, limits, row_panel
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.plots import all_plots
from trpo_cli.compare.png import figure_png
from trpo_cli.compare.read import RETURN, find_runs
from trpo_cli.compare.results import Options
from trpo_cli.compare.style import COLOURS, looks
from trpo_cli.compare.svg import SHAPES, figure_svg, panel_svg
from trpo_cli.compare.ticks import linear_ticks, log_ticks, words

LOOKS = looks(["a", "b"])


class TestTicks:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (0, 1e6, [0, 2e5, 4e5, 6e5, 8e5, 1e6]),
            (-3, 2, [-3, -2, -1, 0, 1, 2]),
            (95, 107, [95, 97.5, 100, 102.5, 105]),
            (5, 5, [5]),
        ],
    )
    def test_round_numbers(self, low, high, expected):
        assert linear_ticks(low, high) == pytest.approx(expected)

    def test_powers_of_ten(self):
        assert log_ticks(0.005, 300) == pytest.approx([0.01, 0.1, 1, 10, 100])
        assert log_ticks(1e-12, 1) == pytest.approx([1e-12, 1e-9, 1e-6, 1e-3, 1])
        assert log_ticks(0.15, 0.9) == pytest.approx([0.2, 0.5])
        assert len(log_ticks(0.31, 0.39)) > 1

    @pytest.mark.parametrize("ends", [(0.003, 7.0), (0.1, 0.2), (2.0, 3.0), (1e-9, 1e4)])
    def test_ticks_stay_inside(self, ends):
        low, high = ends
        for ticks in (linear_ticks(low, high), log_ticks(low, high)):
            slack = 1e-8 * (high - low)
            assert ticks and low - slack <= min(ticks) and max(ticks) <= high + slack

    def test_words(self):
        texts = [words(v) for v in (0, 0.25, 2500, 25_000, 2.5e6, -1e4, 1e-5)]
        assert texts == ["0", "0.25", "2500", "25k", "2.5M", "-10k", "1e-5"]


class TestLimits:
    def test_there_is_always_a_range(self):
        for low, high in ((0, 0), (5, 5), (-2, 3)):
            a, b = limits(low, high)
            assert a < low and b > high
        a, b = limits(0.1, 10, log=True)
        assert 0 < a < 0.1 and b > 10


def panel(**changes) -> Panel:
    x = np.array([0.0, 5.0, 10.0])
    marks = [
        Band(x, x - 1, x + 1, LOOKS["a"]),
        Line(x, x, LOOKS["a"], every=(0, 2)),
        Dots([5.0], [2.0], LOOKS["b"], hollow=True),
    ]
    chosen = {"title": "t < 1", "marks": marks, "xlabel": "x", "ylabel": "y"}
    return Panel(**{**chosen, "xlim": (0.0, 10.0), "ylim": (0.0, 10.0), **changes})


class TestSvg:
    def test_points_stand_where_the_ticks_say(self):
        text = panel_svg(panel(), "1")
        (line,) = re.findall(r'<path d="M([\d. L-]+)" fill="none" stroke="var\(--c0\)"', text)
        points = [tuple(map(float, p.split())) for p in line.split("L")]
        grid_x = [float(v) for v in re.findall(r'class="grid" d="M([\d.]+) 8V', text)]
        grid_y = [float(v) for v in re.findall(r'class="grid" d="M52 ([\d.]+)H', text)]
        # Ticks at 0, 2, ..., 10 both ways; the line runs through (0, 0), (5, 5), (10, 10).
        assert points[0] == (grid_x[0], grid_y[0]) and points[-1] == (grid_x[-1], grid_y[-1])
        middle = ((grid_x[2] + grid_x[3]) / 2, (grid_y[2] + grid_y[3]) / 2)
        assert points[1] == pytest.approx(middle, abs=0.11)

    def test_values_that_are_missing_are_left_out(self):
        text = panel_svg(panel(marks=[Line([0.0, 5.0], [np.nan, 3.0], LOOKS["a"])]), "1")
        assert "nan" not in text

    def test_titles_are_escaped_and_colours_are_the_pages(self):
        text = panel_svg(panel(), "1")
        assert "t &lt; 1" in text and "var(--c0)" in text
        assert not re.search(r"#[0-9a-f]{6}", text)

    def test_a_file_has_colours_of_its_own(self):
        text = figure_svg(Plot("f", "F", "", [panel(), panel()], LOOKS))
        assert "var(" not in text and COLOURS[0][0] in text and COLOURS[1][0] in text

    def test_long_row_names_stand_above_their_rows(self):
        """Left of them they would leave no room for the panel."""
        for name, anchor in (("trpo", "end"), ("trpo max_kl=0.01 > ppo max_kl=0.02", "start")):
            text = panel_svg(row_panel("t", [], [name], "x", (0.0, 1.0)), "1")
            (found,) = re.findall(r'text-anchor="(\w+)">trpo', text)
            assert found == anchor


def test_png_is_drawn_of_any_panel():
    rows = row_panel("rows", [Dots([0.5], [0], LOOKS["a"])], ["a", "b" * 50], "x", (0.0, 1.0))
    log = panel(ylim=(0.01, 10.0), log_y=True)
    columns = panel(columns=["one", "two"], xlim=(-0.4, 1.4))
    data = figure_png(Plot("f", "F", "", [rows, log, columns, panel()], LOOKS))
    assert data.startswith(b"\x89PNG") and len(data) > 10_000


def test_no_two_of_many_groups_look_alike():
    many = looks([str(i) for i in range(200)])
    assert len(set(many.values())) == 200
    assert {look.marker for look in many.values()} == set(SHAPES)


def test_only_the_most_one_sided_of_many_pairs_are_drawn(tmp_path):
    samples = {("Hopper-v4", "trpo"): [1.0, 2.0], ("Hopper-v4", "ppo"): [1.5, 1.6]}
    for i in range(6):  # 8 groups, 28 pairs
        for seed in range(2):
            where = tmp_path / f"{i}{seed}"
            write_run(where, seed=seed, algo__max_kl=0.1 * (i + 1), final=100.0 * i + seed)
    write_sample(tmp_path, samples)
    groups = make_groups(find_runs([str(tmp_path)]).runs, ["algo.max_kl"])
    found = analyse(groups, Options("steps", RETURN, {}, ""), [])
    (plot,) = [p for p in all_plots(found, [], False) if p.name == "across"]
    assert len(found.improvements) == 28 and len(plot.panels[-1].rows) == 15
    assert "15 most one-sided of 28" in plot.caption
    assert "trpo max_kl=0.01 > ppo max_kl=null" not in plot.panels[-1].rows  # 0.5
