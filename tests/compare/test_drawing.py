from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.support.synthetic import write_run, write_sample
from trpo_cli.compare.analyse import analyse
from trpo_cli.compare.drawing import _ticks, draw, words
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.panels import Panel, Plot, band, dots, limits, line, row_panel
from trpo_cli.compare.plots import all_plots
from trpo_cli.compare.read import find_runs
from trpo_cli.compare.results import Options
from trpo_cli.compare.style import COLOURS, MARKERS, looks

LOOKS = looks(["a", "b"])
SVG = "{http://www.w3.org/2000/svg}"


def ticks(low: float, high: float, log: bool = False) -> list[float]:
    """Those that are seen between two ends."""
    axes = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set(xscale="log" if log else "linear", xlim=(low, high))
    _ticks(axes.xaxis, log, [])
    return [v for v in axes.get_xticks() if low <= v <= high]


class TestTicks:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (0, 1e6, [0, 2e5, 4e5, 6e5, 8e5, 1e6]),
            (-3, 2, [-3, -2, -1, 0, 1, 2]),
            (95, 107, [95, 97.5, 100, 102.5, 105]),
        ],
    )
    def test_round_numbers(self, low, high, expected):
        assert ticks(low, high) == pytest.approx(expected)

    def test_powers_of_ten(self):
        assert ticks(0.005, 300, log=True) == pytest.approx([0.01, 0.1, 1, 10, 100])
        assert ticks(0.15, 0.9, log=True) == pytest.approx([0.2, 0.5])
        assert 2 < len(ticks(1e-12, 1, log=True)) < 8
        assert len(ticks(0.31, 0.39, log=True)) > 1

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
        band(x, x - 1, x + 1, LOOKS["a"]),
        line(x, x, LOOKS["a"], every=(0, 2)),
        dots([5.0], [2.0], LOOKS["b"], hollow=True),
    ]
    chosen = {"title": "t < 1 $x$", "marks": marks, "xlabel": "x", "ylabel": "y"}
    return Panel(**{**chosen, "xlim": (0.0, 10.0), "ylim": (0.0, 10.0), **changes})


def svg_of(plot: Plot, **options: Any) -> str:
    return draw(plot, ["svg"], **options).files["svg"].decode()


def points(path: str) -> np.ndarray:
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path), dtype=float)


class TestPanels:
    def test_points_stand_where_the_ticks_say(self):
        """Ticks at 0, 2, ..., 10 both ways; the line runs through (0, 0), (5, 5), (10, 10)."""
        (text,) = draw(Plot("f", "F", "", [panel()], LOOKS)).panels
        grid = [points(d) for d in re.findall(r'd="([^"]*)"[^>]*--rule', text)]
        grid_x = [p[0, 0] for p in grid if p[0, 0] == p[1, 0]]
        grid_y = [p[0, 1] for p in grid if p[0, 1] == p[1, 1]]
        (found,) = re.findall(r'd="([^"]*)"[^>]*stroke: var\(--c0\)[^>]*stroke-width: 1.5', text)
        drawn = points(found)
        assert len(grid_x) == len(grid_y) == 6
        for k in (0, 1):
            ends = [(grid_x, grid_y)[k][0], (grid_x, grid_y)[k][-1]]
            assert drawn[[0, -1], k] == pytest.approx(ends, abs=1e-4)

    def test_values_that_are_missing_are_left_out(self):
        gap = np.array([np.nan, 3.0, 4.0])
        marks = [line([0, 5, 9], gap, LOOKS["a"]), band([0, 5, 9], gap, gap + 1, LOOKS["a"])]
        assert "nan" not in draw(Plot("f", "F", "", [panel(marks=marks)], {})).panels[0]

    def test_colours_are_the_pages_and_texts_are_texts(self):
        drawing = draw(Plot("f", "F", "", [panel(), panel()], LOOKS))
        for text in (*drawing.panels, *drawing.keys):
            assert "var(--c" in text
            assert not re.search(r"#[0-9a-f]{6}[;\"]", text)
        root = ElementTree.fromstring(f'<g xmlns:xlink="x">{drawing.panels[0]}</g>')
        assert {t.text for t in root.iter("text")} >= {"x", "y", "0", "10"}
        assert [t.text for t in root.iter("title")] == ["t < 1 $x$"]
        assert [t.text for t in root.iter("desc")] == ["y against x: a, b"]
        assert root[0].get("role") == "img"

    def test_references_are_found_and_named_once_on_a_page(self):
        drawings = [draw(Plot(name, "F", "", [panel(), panel()], LOOKS)) for name in "fg"]
        page = "".join(text for d in drawings for text in (*d.panels, *d.keys))
        names = re.findall(r' id="([^"]*)"', page)
        assert len(names) == len(set(names))
        used = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page))
        assert used and {a or b for a, b in used} <= set(names)

    def test_long_row_names_stand_above_their_rows(self):
        """Left of them they would leave no room for the panel."""
        for name, anchor in (("trpo", "end"), ("trpo max_kl=0.01 > ppo max_kl=0.02", "start")):
            rows = row_panel("t", [], [name], "x", (0.0, 1.0))
            root = ElementTree.fromstring(draw(Plot("f", "F", "", [rows], {})).files["svg"])
            (text,) = [t for t in root.iter(f"{SVG}text") if t.text == name]
            assert f"text-anchor: {anchor}" in text.get("style", "")


class TestFiles:
    def test_a_file_has_colours_of_its_own_and_says_what_it_is(self):
        text = svg_of(Plot("f", "Title", "caption & more", [panel(), panel()], LOOKS))
        assert "var(" not in text and COLOURS[0][0] in text and COLOURS[1][0] in text
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img" and root.findtext(f"{SVG}title") == "Title"
        assert "caption &amp; more" in text
        texts = [t.text for t in root.iter(f"{SVG}text")]
        assert texts.count("t < 1 $x$") == 2 and {"a", "b"} <= set(texts)

    def test_png_is_drawn_of_any_panel(self):
        rows = row_panel("rows", [dots([0.5], [0], LOOKS["a"])], ["a", "b" * 50], "x", (0.0, 1.0))
        log = panel(ylim=(0.01, 10.0), log_y=True)
        columns = panel(columns=["one", "two"], xlim=(-0.4, 1.4))
        plot = Plot("f", "F", "", [rows, log, columns, panel()], LOOKS)
        data = draw(plot, ["png"]).files["png"]
        assert data.startswith(b"\x89PNG") and len(data) > 10_000


def test_no_two_of_many_groups_look_alike():
    many = looks([str(i) for i in range(200)])
    assert len(set(many.values())) == 200
    assert {look.marker for look in many.values()} == set(MARKERS)


def test_only_the_most_one_sided_of_many_pairs_are_drawn(tmp_path):
    samples = {("Hopper-v4", "trpo"): [1.0, 2.0], ("Hopper-v4", "ppo"): [1.5, 1.6]}
    for i in range(6):  # 8 groups, 28 pairs
        for seed in range(2):
            where = tmp_path / f"{i}{seed}"
            write_run(where, seed=seed, algo__max_kl=0.1 * (i + 1), final=100.0 * i + seed)
    write_sample(tmp_path, samples)
    groups = make_groups(find_runs([str(tmp_path)]).runs, ["algo.max_kl"])
    found = analyse(groups, Options("steps", None, {}, ""), [])
    (plot,) = [p for p in all_plots(found, [], False) if p.name == "across"]
    assert len(found.improvements) == 28 and len(plot.panels[-1].rows) == 15
    assert "15 most one-sided of 28" in plot.caption
    assert "trpo max_kl=0.01 > ppo" not in plot.panels[-1].rows  # 0.5
