from __future__ import annotations

import pytest

from trpo_cli.compare.alignment import aligned


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["29.9 ± 3.28", "472 ± 23", "-"], [" 29.9 ±  3.28", "472   ± 23   ", "-"]),
        (["1,855", "29.9 ± 3.28", "2 ± 10"], ["1,855", "   29.9 ±  3.28", "    2   ± 10"]),
        (["16 (3 of 3)", "> 20 (0 of 3)", "never"], ["  16 (3 of 3)", "> 20 (0 of 3)", "never"]),
        (["0.004 *", "0.8", "< 0.001 **"], ["  0.004 * ", "  0.8     ", "< 0.001 **"]),
        (["-1,066 to -58.1", "7 to 67.6"], ["-1,066 to -58.1", "     7 to  67.6"]),
        (["trpo", "ppo"], ["trpo", "ppo"]),
    ],
)  # fmt: skip
def test_points_stand_below_each_other(cells, expected):
    found = aligned(cells)
    assert [text.rstrip() for text in found] == [text.rstrip() for text in expected]


def test_blanks_are_as_wide_as_what_they_stand_for():
    assert aligned(["1,234.5", "6"], "0", ".") == ["1,234.5", "0.006.0"]
