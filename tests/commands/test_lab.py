"""`trpo-lab` as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from trpo_cli.commands.lab import EXPERIMENTS, main

QUICK = {
    "natural_gradient": ["--iterations", "20"],
    "gradient_field": ["--arrows", "4"],
    "lqr": ["--states", "2", "--iterations", "5"],
    "policy_iteration": ["--states", "4", "--iterations", "3"],
    "distances": ["--pairs", "20"],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
class TestEach:
    def test_prints_tables_and_draws(
        self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([name, *QUICK[name], "--out", str(tmp_path / "new")]) == 0
        out = capsys.readouterr().out
        files = [tmp_path / "new" / f"{name}.{kind}" for kind in ("png", "svg")]
        assert out.endswith("".join(f"{file}\n" for file in files))
        assert files[0].read_bytes().startswith(b"\x89PNG") and files[0].stat().st_size > 10_000
        root = ElementTree.parse(files[1]).getroot()
        assert root.tag.endswith("svg") and len(list(root.iter())) > 50

    def test_json(self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = [*QUICK[name], "--no-figure", "--json", "--out", str(tmp_path)]
        assert main([name, *options]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["experiment"] == name and found["figures"] == []
        for table in found["tables"]:
            assert table["rows"] and all(len(r) == len(table["columns"]) for r in table["rows"])
        assert list(tmp_path.iterdir()) == []

    def test_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
        out = capsys.readouterr().out
        assert f"usage: trpo-lab {name}" in out and "--out" in out


def test_the_same_command_draws_the_same_files(tmp_path: Path) -> None:
    name = "natural_gradient"
    for folder in ("a", "b"):
        assert main([name, *QUICK[name], "--out", str(tmp_path / folder)]) == 0
    for kind in ("png", "svg"):
        a, b = (tmp_path / folder / f"{name}.{kind}" for folder in ("a", "b"))
        assert a.read_bytes() == b.read_bytes()


def test_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed and text in listed for name, text in EXPERIMENTS.items())
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == listed


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        ("", "numpy matplotlib torch gymnasium scipy"),
        ("lqrr", "numpy matplotlib torch gymnasium scipy"),
        ("lqr --states x", "matplotlib torch gymnasium scipy"),
        ("lqr --states 2 --iterations 3 --out {out}", "torch gymnasium"),
        ("natural_gradient --iterations 3 --out {out}", "torch gymnasium scipy"),
    ],
)
def test_imports_no_more_than_it_needs(arguments: str, absent: str, tmp_path: Path) -> None:
    code = (
        "import sys; from trpo_cli.commands.lab import main; "
        f"main({arguments.format(out=tmp_path).split()!r}); "
        f"print([m for m in {absent.split()!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("lqrr", "lqrr is no experiment. Did you mean lqr? There are natural_gradient"),
        ("boundd", "boundd is no experiment. Did you mean distances (KL, total variation"),
        ("Riccati", "Riccati is no experiment. Did you mean lqr (policy gradient"),
        ("zzz", "zzz is no experiment. There are natural_gradient"),
        ("lqr --states 0 --radiuss 1", "--radiuss. Did you mean --radius?"),
        ("lqr --states 0", "0 is not a whole number from 1 to 200. trpo-lab lqr --help lists"),
        ("lqr --discount 1", "1 is not a number > 0 and < 1"),
        ("lqr --A [[1]]", "A is given without B"),
        ("lqr --A [[1]] --B [[1]] --states 2", "states and actions are sizes of a random system"),
        ("lqr --A [[1]] --B [[1]] --seed 2", "--seed and --radius are for random systems"),
        ("lqr --A [[2]] --B [[0]]", "No gain makes the discounted cost of this system finite"),
        ("lqr --A nonsense --B [[1]]", "nonsense is not a number or matrix"),
        ("lqr --R -1", "R=-1 must be symmetric, with no eigenvalue below zero"),
        ("lqr --nois 1", "--nois"),
        ("lqr --runs {out}/nowhere", "nowhere does not exist"),
        ("lqr --runs {out}", "is not a run directory"),
        ("natural_gradient --step-size -1", "-1 is not a number > 0"),
        ("distances --std 0", "0 is not a number >= 0.05 and < 20"),
        ("gradient_field --log-std 1 -1", "--log-std"),
        ("policy_iteration --branching 9 --states 4", "--branching 9"),
        ("distances --out {out}/file", "file is a file, not a folder"),
        ("distances --out {out}/file/below", "file is a file, not a folder"),
    ],
)
def test_mistakes(
    arguments: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One paragraph, exit status 2, nothing written."""
    (tmp_path / "file").touch()
    folder = [] if "--out" in arguments else ["--out", str(tmp_path / "new")]
    assert main([*arguments.format(out=tmp_path).split(), *folder]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err
    assert captured.err.startswith("trpo-lab: ") and captured.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("width", [40, 120])
def test_texts_fit_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A paragraph is broken anew where the terminal ends, and only there."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= width
    with pytest.raises(SystemExit, match="0"):
        main(["distances", "--help"])
    said = capsys.readouterr().out
    start, end = said.index("Wasserstein"), said.index("\n\noptions")
    *full, last = said[start:end].splitlines()
    assert len(last) <= width
    for line, following in zip(full, [*full[1:], last], strict=True):
        assert len(line) <= width < len(line) + 1 + len(following.split()[0])


def test_names_may_have_hyphens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["natural-gradient", "--iterations", "2", "--no-figure"]) == 0
    assert "Softmax of one parameter" in capsys.readouterr().out
