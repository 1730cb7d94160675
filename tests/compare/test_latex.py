from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from trpo_cli.compare.formats import Column, Table
from trpo_cli.compare.latex import to_latex

TABLE = Table(
    "t_1",
    "T",
    "50% of a_b & c",
    [
        Column("env", "Environment", lambda row: row[0]),
        Column("group", "Group", lambda row: row[1]),
        Column("difference", "Difference", lambda row: row[2]),
        Column("finals", "Each", lambda row: [1.0]),
    ],
    [
        ("A-v4", "trpo max_kl=0.1", -1066.0),
        ("A-v4", r"$x^2$ \input{secret} ~#", 7.5),
        ("B-v4", "ppo", -58.1),
    ],
    part="env",
    leads=lambda row: row[1] == "ppo",
)


def test_booktabs_parts_leads_and_aligned_points():
    lines = to_latex([TABLE]).splitlines()
    start = lines.index(r"\toprule")
    assert lines[start - 1] == r"\begin{tabular}{@{}lr@{}}"
    assert lines[start + 1 : lines.index(r"\bottomrule")] == [
        r"Group & Difference \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{A-v4}} \\",
        r"trpo max\_kl=0.1 & $-$1,066\phantom{.0} \\",
        r"\$x\textasciicircum{}2\$ \textbackslash{}input\{secret\} \textasciitilde{}\# & "
        r"\phantom{00.00}7.5 \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{B-v4}} \\",
        r"\textbf{ppo} & \phantom{00.}$-$58.1 \\",
    ]
    assert r"\caption{50\% of a\_b \& c}" in lines and r"\label{tab:t-1}" in lines


@pytest.mark.slow
def test_latex_sets_it(tmp_path):
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here: Debian's package texlive-latex-extra has one with adjustbox")
    wide = replace(TABLE, name="wide", columns=TABLE.columns[:-1] * 8)
    head = r"\documentclass{article}\usepackage{booktabs,adjustbox}\usepackage[T1]{fontenc}"
    text = f"{head}\\begin{{document}}\n{to_latex([TABLE, wide])}\n\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(text)
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text()
    assert "Missing character" not in log and "Overfull" not in log
