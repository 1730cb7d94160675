"""The page in a browser: pointer, legend, zoom, axes, downloads, the dark, paper, three widths."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.browser import Page, chromium
from tests.support.synthetic import evaluation, write_run
from trpo_cli.commands.compare import main
from trpo_cli.compare.style import COLOURS

pytestmark = pytest.mark.slow
STEPS = 24_000
FIGURE = "#curves figure"
OVER = f"{FIGURE} .u-over"


def write_runs(folder: Path) -> None:
    """trpo's evaluations rise evenly from 100 to 500, ppo's from 200 to 1,000; three seeds each,
    10 apart; a KL that changes, so that there is an update to draw."""
    for algo, size in (("trpo", 100.0), ("ppo", 200.0)):
        for seed in range(3):
            lines = [evaluation(STEPS * k // 5, size * k + 10.0 * (seed - 1)) for k in range(1, 6)]

            def row(i: int) -> dict[str, Any]:
                return {"policy/kl": 0.001 * (i + 1)}

            write_run(folder / algo / str(seed), algo, seed=seed, evals=lines, row=row)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    write_runs(folder / "runs")
    assert main([str(folder / "runs"), "--out", str(folder / "report")]) == 0
    return folder / "report" / "report.html"


@pytest.fixture
def page(report: Path, tmp_path: Path) -> Iterator[Page]:
    program = chromium()
    if program is None:
        pytest.skip("no browser here: Debian's package chromium has one")
    with Page(program, tmp_path) as found:
        found.open(report)
        yield found
        assert found.errors() == []
        outside = [u for u in found.requests() if not u.startswith(("file:", "blob:", "data:"))]
        assert outside == []


def hover(page: Page, x: float, y: float = 0.5) -> str:
    """What the page says where the pointer stands, at shares of the axes' width and height."""
    left, top, width, height = page.place(OVER)
    page.mouse("moved", left + x * width, top + y * height)
    return str(page.run(f"document.querySelector('{FIGURE} .tip').innerText"))


def ticks(page: Page) -> list[float]:
    """The ends of the horizontal axis that are seen."""
    scale = "Object.values(uPlot.sync('curves').plots)[0].scales.x"
    return [page.run(f"{scale}.min"), page.run(f"{scale}.max")]


def picture(page: Page) -> str:
    return str(page.run(f"document.querySelector('{FIGURE} canvas').toDataURL()"))


def test_the_pointer_reads_the_values(page):
    """At 80% of the axis: a straight line up to 1,000 and one up to 500, runs 10 to either side."""
    said = hover(page, 0.8).replace(",", "").split()
    x = float(said[0])
    assert x == pytest.approx(0.8 * 1.02 * STEPS, rel=0.01)
    assert said[1:3] == ["environment", "steps"]
    for place, (group, end) in enumerate((("ppo", 1000.0), ("trpo", 500.0))):  # the higher first
        row = said[3 + 5 * place : 8 + 5 * place]
        assert row[0] == group and row[3] == "to"
        mean = end * x / STEPS
        assert [float(row[k]) for k in (1, 2, 4)] == pytest.approx(
            [mean, mean - 10, mean + 10], abs=1
        )
    page.mouse("moved", 5, 5)
    assert page.run(f"document.querySelector('{FIGURE} .tip').hidden")


def test_a_click_on_the_legend_hides_a_rule_and_another_brings_it_back(page):
    before = picture(page)
    page.click('#curves button[data-group="ppo"]')
    said = hover(page, 0.8)
    assert "trpo" in said and "ppo" not in said
    # The axis is trpo's now: its last value, 510, stands near the top.
    scale = "uPlot.sync('curves').plots[0].scales.y.max"
    assert 510 < page.run(scale) < 560
    pressed = "b => b.getAttribute('aria-pressed')"
    everywhere = page.run(
        f"[...document.querySelectorAll('[data-group=ppo]')].map({pressed}).join()"
    )
    assert everywhere == "false,false"
    page.click('#curves button[data-group="ppo"]')
    page.mouse("moved", 5, 5)
    assert picture(page) == before


def test_a_drag_zooms_and_a_double_click_or_the_button_shows_all_again(page):
    whole = ticks(page)
    assert whole == pytest.approx([0.0, 1.02 * STEPS])
    left, top, width, height = page.place(OVER)
    y = top + height / 2
    page.drag((left + 0.25 * width, y), (left + 0.75 * width, y))
    assert ticks(page) == pytest.approx([0.25 * whole[1], 0.75 * whole[1]], rel=0.01)
    page.click(OVER, clicks=2)
    assert ticks(page) == pytest.approx(whole)
    page.drag((left + 0.25 * width, y), (left + 0.75 * width, y))
    page.click(f"{FIGURE} .tools button:nth-child(3)")
    assert ticks(page) == pytest.approx(whole)


def test_steps_wall_clock_or_updates(page):
    """Rows of 2,000 steps and 2 seconds."""
    for name, end, words in (("updates", 12, "updates"), ("seconds", 24, "wall-clock seconds")):
        page.click(f'#curves .axis input[value="{name}"] + span')
        assert ticks(page)[1] == pytest.approx(1.02 * end)
        assert words in hover(page, 0.5)
    others = page.run("[...document.querySelectorAll('.axis input:checked')].map(i => i.value)")
    assert others == ["seconds", "seconds"]


def test_the_data_of_a_figure(page):
    page.click(f"{FIGURE} .tools button:nth-child(2)")
    rows = list(csv.reader(page.download().read_text().splitlines()))
    singles = [f"{algo} run {k}" for algo in ("trpo", "ppo") for k in (1, 2, 3)]
    assert rows[0] == ["environment steps", *singles[:3], "trpo mean", *singles[3:], "ppo mean"]
    values = np.array(rows[1:], dtype=float)
    assert values[-1].tolist() == [STEPS, 490, 500, 510, 500, 990, 1000, 1010, 1000]
    # From the first evaluation on in a straight line.
    assert values[:, 4] == pytest.approx(500 * values[:, 0] / STEPS, rel=1e-4)


def test_the_figure_itself(page):
    page.click('#curves button[data-group="ppo"]')
    page.click(f"{FIGURE} .tools button:nth-child(1)")
    found = page.download()
    assert found.name.startswith("curves_Hopper-v4") and found.suffix == ".png"
    data = found.read_bytes()
    assert data.startswith(b"\x89PNG")
    width = int.from_bytes(data[16:20], "big")
    assert width == page.run(f"document.querySelector('{FIGURE} canvas').width")


def test_a_drawing_as_a_file_has_colours_of_its_own(page):
    page.click("#final .tools button")
    text = page.download().read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "var(" not in text and COLOURS[0][0] in text and "trpo" in text


def test_the_dark_has_colours_of_its_own(page):
    light = picture(page)
    page.look("dark")
    page.wait("matchMedia('(prefers-color-scheme: dark)').matches")
    assert page.wait("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 26)"
    assert picture(page) != light


def test_on_paper_the_drawings_with_their_legends(page):
    def shown(selector: str) -> bool:
        box = f"document.querySelector('{selector}').getBoundingClientRect()"
        return bool(page.run(f"{box}.height > 0"))

    assert shown(f"{FIGURE} canvas") and not shown(f"{FIGURE} svg.panel")
    page.look(medium="print")
    assert shown(f"{FIGURE} svg.panel") and shown(f"{FIGURE} .keys")
    assert not shown(f"{FIGURE} canvas") and not shown("#curves .legend")
    assert not shown(f"{FIGURE} .tools")


def test_on_a_phone_a_tap_reads_values_and_hides_a_rule(page):
    page.resize(390, 844)
    page.fingers()
    page.wait("innerWidth === 390 && matchMedia('(pointer: coarse)').matches")

    def tapped(selector: str, x: float = 0.5) -> None:
        left, top, width, height = page.place(selector)
        assert min(width, height) >= 44  # as wide as a finger
        page.tap(left + x * width, top + height / 2)

    said = f"document.querySelector('{FIGURE} .tip').innerText"
    tapped(OVER, 0.8)
    page.wait(f"/ppo[^]*trpo/.test({said})")
    tapped('#curves button[data-group="ppo"]')
    page.wait("""document.querySelector('[data-group=ppo]').ariaPressed === 'false'""")
    tapped(OVER, 0.3)
    page.wait(f"/trpo/.test({said}) && !/ppo/.test({said})")
    for control in (f"{FIGURE} .tools button", "#curves .axis span"):
        assert page.place(control)[3] >= 44


@pytest.mark.parametrize(("width", "beside"), [(390, False), (1280, False), (1920, True)])
def test_the_reasoning_stands_beside_the_ranking_where_there_is_room(page, report, width, beside):
    page.resize(width, 900)
    page.open(report)
    (reasoning, ranking) = (
        page.run(f"(r => [r.left, r.top, r.right])(document.querySelector('{s}')"
                 ".getBoundingClientRect())")
        for s in ("details.why", "#table-ranking")
    )  # fmt: skip
    assert page.run("document.querySelector('details.why').open") == beside
    assert (reasoning[0] > ranking[2]) == beside


def test_three_panels_beside_each_other_on_paper(page):
    page.resize(740, 1000)
    page.look(medium="print")
    style = "getComputedStyle(document.querySelector('.panels')).gridTemplateColumns"
    assert len(page.run(style).split()) == 3


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_names_in_the_headline_are_whole(page, width):
    """Hopper-v4 is not broken at its hyphen."""
    page.resize(width, 900)
    page.wait(f"innerWidth === {width}")
    lines = "s => [s.innerText, s.getClientRects().length]"
    assert page.run(f"[...document.querySelectorAll('h1 span')].map({lines})") == [
        ["Hopper-v4:", 1]
    ]


@pytest.mark.parametrize(("width", "columns"), [(390, 1), (1280, 3), (1920, 3)])
def test_one_grid_and_nothing_wider_than_the_window(page, width, columns):
    """No section has more than three panels here, so that three fill the widest line."""
    page.resize(width, 900)
    page.wait(f"innerWidth === {width}")
    assert page.run("document.documentElement.scrollWidth") == width
    style = "p => getComputedStyle(p).gridTemplateColumns"
    grids = page.run(f"[...document.querySelectorAll('.panels')].map({style})")
    assert len(set(grids)) == 1 and len(grids[0].split()) == columns
    page.wait(
        "[...document.querySelectorAll('.chart')].every(c => Math.abs(c.clientWidth - "
        "c.querySelector('.uplot').clientWidth) < 2)"
    )
    # The ranking's figures are seen whole, without scrolling sideways.
    box = "document.querySelector('#table-ranking').closest('.scroll')"
    ahead = page.run(
        f"[...{box}.querySelectorAll('thead th')].find(c => c.innerText === 'Ahead of')"
        ".getBoundingClientRect().right"
    )
    assert ahead <= page.run(f"{box}.getBoundingClientRect().right") + 1
