"""One definition of a table, and what becomes of its values in each format."""

from __future__ import annotations

import math
from dataclasses import replace

from trpo_cli.compare.formats import (
    LONG,
    Column,
    Table,
    to_csv,
    to_html,
    to_json,
    to_markdown,
    to_text,
)
from trpo_cli.compare.statistics import Interval
from trpo_cli.compare.wording import spread

TABLE = Table(
    "t",
    "T < 1",
    "c & d",
    [
        Column("name", "Name", lambda row: row[0]),
        Column("score", "Score", lambda row: row[1], spread),
        Column("time", "", lambda row: row[2]),
        Column("", "Reached", lambda row: "yes" if math.isfinite(row[2]) else "no"),
        Column("finals", "Each", lambda row: row[3]),
        Column("steps", "Steps", lambda row: row[4]),
    ],
    [
        ("a|b", Interval(2, 1234.5678912, 2.0, 1200.0, 1300.0), 3.25, [1234.5, 0.25], 10_000),
        ("<c>", Interval(1, 0.5, math.nan, math.nan, math.nan), math.inf, [0.5], None),
    ],
)


def test_text_is_aligned_at_the_points():
    assert to_text(TABLE).splitlines() == [
        "Name  Score        Reached  Each         Steps",
        "a|b   1,235   ± 2  yes      1,234, 0.25  10,000",
        "<c>       0.5      no       0.5          -",
    ]


def test_text_leaves_out_from_the_right_what_does_not_fit():
    assert to_text(TABLE, 30).splitlines()[0] == "Name  Score        Reached"
    assert to_text(TABLE, 1).splitlines()[0] == "Name  Score"


def test_rows_are_headed_by_what_they_share():
    parted = replace(TABLE, part="name", rows=[TABLE.rows[0], TABLE.rows[1], TABLE.rows[1]])
    lines = to_text(parted).splitlines()
    assert lines[0].split() == ["Score", "Reached", "Each", "Steps"]
    assert [line.split()[0] for line in lines[1:]] == ["a|b", "1,235", "<c>", "0.5", "0.5"]
    page = to_html(parted)
    assert page.count('<tr class="part">') == 2 and '<th colspan="4">&lt;c&gt;</th>' in page
    assert "name" in to_csv(parted).splitlines()[0]
    alone = to_html(replace(parted, rows=TABLE.rows[:1]))
    assert "a|b" not in alone and "part" not in alone  # the heading above the table says it


def test_a_column_that_says_nothing_is_left_out_where_people_read():
    one = replace(TABLE, rows=TABLE.rows[1:])
    assert "Steps" not in to_html(one) and "Steps" not in to_text(one)
    assert "steps" in to_csv(one)


def test_leads_are_marked_and_keys_stand_before_groups():
    columns = [Column("group", "Group", lambda row: row)]
    table = Table("t", "T", "", columns, ["a", "b"], leads=lambda row: row == "b")
    page = to_html(table, keys={"a": "<svg></svg>"})
    assert "<tr><td><svg></svg>a</td></tr>" in page
    assert '<tr class="lead"><td>b</td></tr>' in page


def test_csv_has_keys_and_unrounded_values():
    assert to_csv(TABLE) == (
        "name,score_mean,score_std,score_low,score_high,time,finals,steps\n"
        "a|b,1234.5679,2,1200,1300,3.25,1234.5 0.25,10000\n"
        "<c>,0.5,,,,inf,0.5,\n"
    )


def test_json_has_null_for_what_is_no_number():
    first, second = to_json(TABLE)
    assert first["score_mean"] == 1234.5678912 and first["finals"] == "1234.5 0.25"
    assert second["time"] is None and second["score_low"] is None and second["steps"] is None


def test_markdown_and_html_escape_what_they_must():
    markdown, page = to_markdown(TABLE), to_html(TABLE)
    assert "| a\\|b | 1,235 ± 2 | yes | 1,234, 0.25 | 10,000 |" in markdown
    # "1,235   ± 2" above "    0.5    ": what is not seen stands there as digits and points.
    hidden = '<i aria-hidden="true">{}</i>'.format
    score = f'<td class="number">{hidden("0.00")}0.5{hidden("0000")}</td>'
    rest = '<td>no</td><td>0.5</td><td class="number">-</td>'
    assert f"<td>&lt;c&gt;</td>{score}{rest}" in page
    assert "T &lt; 1" in page and "c &amp; d" in page


def test_no_cell_is_computed_or_drawn():
    """=, +, -, @ begin a formula in a spreadsheet; numbers may begin so."""
    names = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "-0.5", "<b>", "[a](b)", "`c`", "\\|d"]
    table = Table("t", "T", "c", [Column("name", "Name", lambda row: row)], names)
    assert to_csv(table).splitlines() == [
        "name", "'=1+1", "'+1+1", "'-1+1", "'@SUM(A1)", "-0.5", "<b>", "[a](b)", "`c`", "\\|d",
    ]  # fmt: skip
    assert to_markdown(table).splitlines()[-5:] == [
        "| -0.5 |", "| \\<b> |", "| \\[a](b) |", "| \\`c\\` |", "| \\\\\\|d |",
    ]  # fmt: skip


def test_a_long_table_folds_out():
    column = [Column("n", "N", lambda row: row)]
    short, long = (to_html(Table("t", "T", "", column, range(n))) for n in (LONG, LONG + 1))
    assert "<details>" not in short and "<details><summary>31 rows</summary>" in long
