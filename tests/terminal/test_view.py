"""The facts of a run in a line and in a few lines."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trpo_cli.terminal.display import fitted
from trpo_cli.terminal.view import KEPT, History, View, kl_bound, sparkline


def seen() -> View:
    view = View("trpo on Hopper-v4, seed 1", 1000, bound=0.01)
    for i, accepted in enumerate((1, 0, 1), start=1):
        view.take({
            "step": 100 * i, "train/return_recent": 10.0 * i, "policy/kl": 0.005,
            "trust_region/accepted": accepted,
        })  # fmt: skip
    view.take_evaluation({"return_mean": 31.5, "return_std": 2.0})
    view.rate, view.memory = 50.0, 3 * 2**20
    return view


FACTS = ("30%", "step 300", "return 30", "KL 0.005 of 0.01", "accepted 2 of 3", "50 steps/s",
         "14 s left", "3 MiB", "evaluation 31.5 ± 2")  # fmt: skip


def test_the_line_and_the_lines_hold_the_same_facts() -> None:
    """700 steps left at 50 a second take 14 s."""
    view = seen()
    assert all(fact in view.line() for fact in FACTS) and "\n" not in view.line()
    assert all(fact in view.lines(100) for fact in FACTS)
    assert "▁▅█" in view.lines(100) or "▁▄█" in view.lines(100)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_lines_fit_and_break_between_words(width: int) -> None:
    text = seen().lines(width)
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(text.split()) == " ".join(seen().lines(1000).split())


def test_nothing_is_known_before_the_first_row() -> None:
    assert View("x", 10).line() == "  0%  step 0  return -  KL -"


def test_a_null_is_unknown() -> None:
    view = View("x", 10)
    view.take({"step": 5, "train/return_recent": None, "policy/kl": None})
    assert view.line() == " 50%  step 5  return -  KL -"


def test_a_curve_of_any_length_is_kept_as_means() -> None:
    """The mean of a stretch of a straight line is the value in its middle."""
    history = History()
    for i in range(10_000):
        history.add(float(i))
    assert KEPT // 2 <= len(history.points) < KEPT
    steps = [b - a for a, b in zip(history.points, history.points[1:], strict=False)]
    assert set(steps) == {128.0}  # 10,000 / 127 points, rounded up to a power of two
    assert history.points[0] == 63.5


def test_a_sparkline() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3.0, 3.0]) == "▁▁" and sparkline([]) == ""
    assert sparkline([0, 0, 7, 7], cells=2) == "▁█"


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        ({"max_kl": 0.01}, 0.01),
        ({"max_kl": 0.01, "step_rule": "fixed"}, None),
        ({"target_kl": None}, None),
        ({"kl_target": 0.02}, 0.02),
        ({}, None),
    ],
)
def test_the_bound_on_the_kl(settings: dict[str, object], bound: float | None) -> None:
    assert kl_bound(SimpleNamespace(**settings)) == bound


class TestFitted:
    def test_short_lines_stay(self) -> None:
        assert fitted("a  b\n  c", 10) == "a  b\n  c"

    def test_what_follows_stands_below_the_second_column(self) -> None:
        assert fitted("  --flag  one two three", 20) == "  --flag  one two\n          three"

    def test_without_columns_it_is_indented(self) -> None:
        assert fitted("one two three", 8) == "one two\n  three"

    def test_a_word_is_never_broken(self) -> None:
        assert fitted("see outputs/a/very/long/path now", 12) == (
            "see\n  outputs/a/very/long/path\n  now"
        )
