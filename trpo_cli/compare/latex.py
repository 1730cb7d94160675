"""Tables for LaTeX, with the rules of its package booktabs, no wider than the text by adjustbox."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trpo_cli.compare.formats import FIGURE_SPACE, POINT_SPACE, Table

SPECIAL = {sign: f"\\{sign}" for sign in "&%$#_{}"}
SPECIAL |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
SPECIAL |= {"±": r"$\pm$", "∞": r"$\infty$", "<": "$<$", ">": "$>$", "|": r"\textbar{}"}
SPECIAL |= {"'": "{'}", "`": "{`}", '"': r"\textquotedbl{}"}
MINUS = "\u2212"
HEAD = "% \\usepackage{booktabs}  \\usepackage{adjustbox}  \\usepackage[T1]{fontenc}\n\n"


def to_latex(tables: Sequence[Table]) -> str:
    return HEAD + "\n".join(map(one, tables))


def one(table: Table) -> str:
    """A floating table, no wider than the text; numbers below each other at their points, leads in
    bold. Lists of single runs have no room in a paper's column."""
    columns = [c for c in table.seen(parted=True) if c.key != "finals"]
    cells = [[written(text) for text in c.aligned(FIGURE_SPACE, POINT_SPACE)] for c in columns]
    parts, lines = table.parts(), []
    for i, row in enumerate(zip(*cells, strict=True)):
        if len(set(parts)) > 1 and parts[i] not in parts[:i]:
            head = rf"\multicolumn{{{len(columns)}}}{{l}}{{\textit{{{escaped(parts[i])}}}}} \\"
            lines += [r"\midrule", head] if i else [head]
        marked = table.leads(table.rows[i])
        names = {k for k, c in enumerate(columns) if c.key == "group"}
        texts = [rf"\textbf{{{t}}}" if marked and k in names else t for k, t in enumerate(row)]
        lines.append(" & ".join(texts) + r" \\")
    form = "".join("r" if c.number else "l" for c in columns)
    return "\n".join([
        r"\begin{table}", r"\centering\small", rf"\caption{{{escaped(table.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.name)}}}",
        r"\begin{adjustbox}{max width=\linewidth}",
        rf"\begin{{tabular}}{{@{{}}{form}@{{}}}}", r"\toprule",
        " & ".join(escaped(c.title) for c in columns) + r" \\", r"\midrule", *lines,
        r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}", r"\end{table}", "",
    ])  # fmt: skip


def written(cell: str) -> str:
    """A cell of a row: what keeps its place is a phantom, and a minus is one."""
    text = re.sub(r"(?<![\w.])-(?=\d)", MINUS, cell)
    text = escaped(text).replace(MINUS, "$-$")
    return re.sub(
        f"[{FIGURE_SPACE}{POINT_SPACE}]+",
        lambda m: r"\phantom{" + m[0].replace(FIGURE_SPACE, "0").replace(POINT_SPACE, ".") + "}",
        text,
    )


def escaped(text: str) -> str:
    """Text that stays text. Letters that pdfLaTeX has not are left to the engine."""
    return "".join(SPECIAL.get(sign, sign) for sign in text)
