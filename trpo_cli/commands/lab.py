"""``trpo-lab NAME``: exact experiments with small problems. Nothing heavy at the top: the list, the
help and the errors come at once."""

from __future__ import annotations

import difflib
import importlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trpo_cli.commands import arguments
from trpo_cli.commands.failures import run_command
from trpo_cli.errors import CannotWrite, UserError
from trpo_cli.settings import suggestion
from trpo_cli.terminal.display import fitted

EXPERIMENTS = {
    "natural_gradient": "plain and natural ascent on a softmax of one parameter",
    "gradient_field": "both gradient fields of a scalar linear-quadratic problem",
    "lqr": "policy gradient, natural gradient and Gauss-Newton to the Riccati optimum",
    "policy_iteration": "conservative policy iteration, Algorithm 1 and TRPO on tabular MDPs",
    "distances": "KL, total variation, Jensen-Shannon, Wasserstein and Pinsker's bound",
}
"""Modules of this package, each with `add_options`, `compute` and `draw`."""

USAGE = """\
usage: trpo-lab NAME [options]

Small exact experiments with known answers: each prints a table and draws a figure, in seconds.

{list}

trpo-lab NAME --help explains an experiment's options; --version tells the version.
{also}
"""


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("trpo-lab", lab, argv)


def lab(words: list[str]) -> int:
    """List the experiments, or run the one that is named first."""
    if not words or words[0] in ("-h", "--help"):
        names = "\n".join(f"  {name:18}{text}" for name, text in EXPERIMENTS.items())
        print(fitted(USAGE.format(list=names, also=arguments.SEE_ALSO)))
        return 0
    if words[0] == "--version":
        print(arguments.version_of("trpo-lab"))
        return 0
    return _run(words[0], words[1:])


def _run(name: str, words: list[str]) -> int:
    key = name.replace("-", "_")
    if key not in EXPERIMENTS:
        raise UserError(
            f"{name} is no experiment.{_meant(key)} There are {', '.join(EXPERIMENTS)}."
        )
    experiment = experiment_named(key)
    args = make_parser(key, experiment).parse_args(words)
    folder = Path(args.out)
    _check_folder(folder)
    findings = experiment.compute(args)
    files = _draw(experiment, findings, folder / key) if args.figure else []
    if args.json:
        options = {k: v for k, v in vars(args).items() if k not in ("json", "debug")}
        tables = [table.as_json() for table in findings.tables]
        found = {"experiment": key, "options": options, "tables": tables}
        print(json.dumps({**found, "notes": findings.notes, "figures": files}, default=str))
        return 0
    for table in findings.tables:
        print(table.text(), end="\n\n")
    for note in findings.notes:
        print(note)
    for file in files:
        print(file)
    return 0


def _meant(key: str) -> str:
    """The experiment of that name, or the one that has such a word in its description."""
    if hint := suggestion(key, list(EXPERIMENTS)):
        return hint
    about = {
        word: name
        for name, text in EXPERIMENTS.items()
        for word in re.findall(r"[a-z]{5,}", text.lower())
    }
    close = difflib.get_close_matches(key.lower(), about, 1, 0.8)
    return f" Did you mean {about[close[0]]} ({EXPERIMENTS[about[close[0]]]})?" if close else ""


def experiment_named(key: str) -> Any:
    """The module of an experiment."""
    return importlib.import_module(f"trpo_cli.lab.{key}")


def _check_folder(folder: Path) -> None:
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {folder}: {nearest} is a file, not a folder; name another one.")


def _draw(experiment: Any, findings: Any, stem: Path) -> list[str]:
    from trpo_cli.lab.figures import save

    draw: Callable[..., None] = experiment.draw
    try:
        return [str(path) for path in save(draw, findings, stem)]
    except OSError as error:
        raise CannotWrite(stem, error) from error


def make_parser(name: str, experiment: Any) -> arguments.Parser:
    """The command line of an experiment, which is the module `experiment`."""
    parser = arguments.make_parser(f"trpo-lab {name}", experiment.__doc__)
    experiment.add_options(parser)
    add = parser.add_argument
    add("--out", metavar="FOLDER", default="outputs/lab", help="folder of the figure (outputs/lab)")
    add("--no-figure", dest="figure", action="store_false", help="print the table only")
    add("--json", action="store_true", help="print one JSON object")
    arguments.add_common(parser)
    return parser
