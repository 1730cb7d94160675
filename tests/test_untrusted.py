"""What anybody may have written: read within bounds, shown and not obeyed."""

from __future__ import annotations

import io
import json
import time

import pytest

from tests.support.searching import SETTINGS
from trpo_cli.commands.failures import report
from trpo_cli.errors import UserError
from trpo_cli.runs import checkpoint
from trpo_cli.runs.directory import read_json
from trpo_cli.runs.exact_json import decode
from trpo_cli.sweeps.look import look
from trpo_cli.terminal.display import LiveArea, PlainLines
from trpo_cli.tune.report import write_csv
from trpo_cli.tune.space import parse_space
from trpo_cli.tune.study import Record
from trpo_cli.untrusted import MAX_DEPTH, harmless, parse_json, parse_yaml, printable, spreadsheet

DEEP = 100_000 * "["
# Nine lines of nine references each to the one before: 9^9 = 387 million items.
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
ESCAPE = "\x1b]0;owned\x07"


class TestBounds:
    @pytest.mark.parametrize("text", [LAUGHS, "&x [*x]", DEEP, "x: " + "1" * 5000, "x" * 2**21])
    def test_yaml(self, text):
        started = time.monotonic()
        with pytest.raises(ValueError):
            parse_yaml(text)
        with pytest.raises(UserError, match=r"space\.yaml cannot be read as YAML"):
            parse_space(text, "space.yaml")
        assert time.monotonic() - started < 5  # thousandths, on an idle machine

    def test_yaml_within_bounds(self):
        levels = MAX_DEPTH * "[" + "1" + MAX_DEPTH * "]"
        value = parse_yaml(levels)
        for _ in range(MAX_DEPTH):
            (value,) = value
        assert value == 1

    @pytest.mark.parametrize("text", [DEEP, "1" * 5000, "NaN", "-Infinity"])
    def test_json(self, text):
        with pytest.raises(ValueError):
            parse_json(text)

    def test_files_of_a_run(self, tmp_path):
        for text in (DEEP, '{"format": 1e999}', '{"format": ' + "1" * 5000 + "}"):
            (tmp_path / "manifest.json").write_text(text)
            with pytest.raises(UserError, match="cannot be read as a manifest"):
                read_json(tmp_path / "manifest.json", 1, "a manifest", dict)
        with pytest.raises(ValueError, match="nested too deep"):
            decode(DEEP.encode())
        folder = checkpoint.path(tmp_path, 1)
        checkpoint.save(folder, {}, {})
        (folder / checkpoint.INDEX).write_text(DEEP)
        with pytest.raises(UserError, match="nested too deep"):
            checkpoint.load(folder)

    @pytest.mark.parametrize(
        "row", [[], {"step": "x"}, {"step": 1, "seconds": []}, {"step": 1, "seconds": 10**4000}]
    )
    def test_a_look_at_rows_that_are_none(self, tmp_path, row):
        for name in ("metrics.jsonl", "eval.jsonl"):
            (tmp_path / name).write_text(json.dumps(row) + "\n" + DEEP + "\n")
        seen = look(tmp_path)
        assert seen.step in (0, 1) and seen.seconds == 0.0 and seen.evaluation is None


class TestWords:
    def test_escapes_are_shown(self):
        assert printable("a\x1b[2J\r\u202e\udcff") == "a\\x1b[2J\\r\\u202e\\udcff"
        assert printable("±é 100 %\nnext") == "±é 100 %\nnext"
        assert harmless({"a\nb": ["\x07"]}) == {"a\\nb": ["\\x07"]}

    def test_on_their_way_to_a_terminal(self, capsys):
        out = io.StringIO()
        PlainLines(out).print(f"run 0 {ESCAPE}")
        LiveArea(out).print(f"run 1 {ESCAPE}")
        report(UserError(f"no {ESCAPE}"), debug=False)
        said = out.getvalue() + capsys.readouterr().err
        assert said.count("\\x1b]0;owned\\x07") == 3 and "\x1b" not in said and "\x07" not in said

    def test_cells_of_a_spreadsheet(self):
        assert [spreadsheet(text) for text in ("=A1", "-A1", "-1.5 -2", "+1e3", "a=1")] == [
            "'=A1", "'-A1", "-1.5 -2", "+1e3", "a=1",
        ]  # fmt: skip

    def test_cells_of_a_search(self, tmp_path):
        record = Record(0, "failed", {"=1+1": "@x"}, None, [-1.0, 2.0], "=HYPERLINK(1)")
        write_csv([record], tmp_path / "trials.csv", SETTINGS)
        head, row = (tmp_path / "trials.csv").read_text().splitlines()
        assert head.endswith(",'=1+1,why") and row == "0,failed,,-1.0 2.0,,,'@x,'=HYPERLINK(1)"
