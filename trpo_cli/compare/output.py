"""What a comparison leaves in its folder: tables, figures, the page and a record of all of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.compare import methods
from trpo_cli.compare.drawing import draw
from trpo_cli.compare.films import Film
from trpo_cli.compare.formats import Table, to_csv, to_markdown
from trpo_cli.compare.latex import to_latex
from trpo_cli.compare.plots import all_plots
from trpo_cli.compare.record import Made
from trpo_cli.compare.report import page
from trpo_cli.compare.results import Comparison
from trpo_cli.compare.sweep import Sweep
from trpo_cli.errors import CannotWrite
from trpo_cli.untrusted import markdown, parse_json

RECORD = "comparison.json"
METHODS = {"txt": methods.plain, "md": methods.to_markdown, "tex": methods.to_latex}


@dataclass(frozen=True)
class Asked:
    """against: published numbers beside the curves. kinds: files of the figures, empty for SVG and,
    of the main ones, PNG. width: of the figures in inches, None for what suits a screen. films: to
    show on the page."""

    against: bool
    kinds: Sequence[str]
    width: float | None
    films: Sequence[Film] = ()


def write(
    out: Path,
    record: dict[str, Any],
    comparison: Comparison,
    sweeps: Sequence[Sweep],
    tables: Sequence[Table],
    asked: Asked,
    made: Made,
) -> dict[str, Any]:
    """Returns the record with the paths of the files."""
    files: dict[str, bytes] = {f"{t.name}.csv": to_csv(t).encode() for t in tables}
    text = [f"# trpo-compare\n\n{markdown(record['verdict'])}\n", *map(to_markdown, tables)]
    files["tables.md"] = "\n".join(text).encode()
    files["tables.tex"] = to_latex(tables).encode()
    for kind, written in METHODS.items():
        files[f"methods.{kind}"] = written(made.methods).encode()
    drawings = []
    for plot in all_plots(comparison, sweeps, asked.against):
        kinds = asked.kinds or (["svg", "png"] if plot.main else ["svg"])
        drawings.append(draw(plot, kinds, asked.width))
        files |= {f"{plot.name}.{kind}": data for kind, data in drawings[-1].files.items()}
    files["report.html"] = page(comparison, tables, drawings, made, asked.films).encode()
    path = out
    try:
        out.mkdir(parents=True, exist_ok=True)
        former = of_former(out)
        path = out / RECORD  # before the rest: what is cut short is cleared by the next one
        path.write_text(json.dumps({**record, "files": list(files)}, allow_nan=False))
        for path in former - {out / name for name in files}:
            path.unlink()
        for name, data in files.items():
            path = out / name
            path.write_bytes(data)
    except OSError as error:
        raise CannotWrite(path, error) from error
    return {**record, "files": [str(out / name) for name in (*files, RECORD)]}


def of_former(out: Path) -> set[Path]:
    """The files that a comparison before wrote into this folder, by its record of them."""
    try:
        names = [Path(name).name for name in parse_json((out / RECORD).read_bytes())["files"]]
    except (OSError, ValueError, TypeError, KeyError):
        return set()
    return {out / name for name in names if (out / name).is_file()}
