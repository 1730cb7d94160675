"""``trpo-compare`` for a paper: files of figures, their width, and what groups are called."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.synthetic import write_run, write_sample
from trpo_cli.commands.compare import main

TWO = {("Hopper-v4", "vpg"): [100.0, 110.0], ("Hopper-v4", "ppo"): [300.0, 310.0]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "runs", TWO)
    return tmp_path


def pages(path: Path) -> tuple[float, float]:
    """Width and height of a PDF's page in inches."""
    (box,) = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", path.read_bytes())
    return float(box[0]) / 72.0, float(box[1]) / 72.0


class TestFigures:
    def test_only_the_kinds_asked_for(self, here):
        assert main(["runs", "--out", "report", "--format", "pdf"]) == 0
        names = {path.name for path in (here / "report").iterdir()}
        assert {"curves.pdf", "final.pdf", "across.pdf", "report.html"} <= names
        assert not [name for name in names if name.endswith((".svg", ".png"))]
        data = (here / "report" / "curves.pdf").read_bytes()
        assert data.startswith(b"%PDF") and b"/Type3" not in data  # journals refuse such fonts
        assert "<svg" in (here / "report" / "report.html").read_text()

    def test_a_column_is_one_panel_wide(self, here):
        write_sample(here / "runs", {("Ant-v4", "ppo"): [1.0, 2.0]})
        arguments = ["runs", "--format", "pdf,svg", "--width", "3.25"]
        assert main([*arguments, "--out", "report"]) == 0
        assert pages(here / "report" / "curves.pdf")[0] == pytest.approx(3.25, abs=0.01)
        assert (here / "report" / "curves.svg").exists()
        assert main(["runs", "--format", "pdf", "--out", "screen"]) == 0
        wide, low = pages(here / "screen" / "curves.pdf")
        _, high = pages(here / "report" / "curves.pdf")
        assert wide > 6.5 and high > 1.8 * low  # two panels below, and not beside each other

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--format", "eps"], "--format eps: there are svg, png, pdf."),
            (["--width", "8cm"], "8cm is not a width from 2 to 30 inches"),
            (["--width", "nan"], "nan is not a width"),
            (["--label", "vgp=REINFORCE"], "no group is called vgp. Did you mean vpg?"),
            (["--label", "vpg"], "no group is called vpg"),
            (["--label", "vpg="], "give the new name"),
            (["--label", "vpg=ppo"], "two groups would be called ppo"),
        ],
    )
    def test_mistakes(self, here, capsys, arguments, words):
        assert main(["runs", "--out", "report", *arguments]) == 2
        assert words in capsys.readouterr().err
        assert not (here / "report").exists()


class TestLabels:
    def test_everywhere(self, here, capsys):
        assert main(["runs", "--out", "report", "--label", "vpg=REINFORCE <1992>"]) == 0
        printed = capsys.readouterr().out
        assert "REINFORCE <1992>" in printed and "vpg" not in printed.replace("/vpg/", "")
        page = (here / "report" / "report.html").read_text()
        assert "REINFORCE &lt;1992&gt;" in page and "REINFORCE <1992>" not in page
        assert "REINFORCE $<$1992$>$" in (here / "report" / "tables.tex").read_text()

    def test_of_a_rule_and_of_one_of_its_settings(self, here, capsys):
        for kl in (0.01, 0.02):
            write_run(here / "kl" / str(kl), algo__max_kl=kl)
        arguments = ["kl", "--by", "algo.max_kl", "--no-files", "--json", "--label", "trpo=TRPO"]
        assert main([*arguments, "--label", "trpo max_kl=0.02=Wide"]) == 0
        found = json.loads(capsys.readouterr().out)
        groups = [row["group"] for row in found["tables"]["performance"]]
        assert groups == ["TRPO max_kl=0.01", "Wide"]  # in the order of the settings
        assert "settings_Hopper-v4_TRPO" in found["tables"]
