"""What ``trpo-compare`` takes: its flags, and what their words mean."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from trpo_cli.commands import arguments
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import CONFIG, METRICS, OUTPUTS, check_writable, moment


def make_parser() -> arguments.Parser:
    from trpo_cli.compare.metric import AXES, EVAL_CURVE
    from trpo_cli.compare.refusals import ALLOW

    parser = arguments.make_parser(
        "trpo-compare", "Compare runs: learning curves, tables, tests and a verdict, over seeds."
    )
    add = parser.add_argument
    add(
        "dirs",
        nargs="+",
        metavar="DIR",
        help="a folder with runs below it; last: the newest; other tools' runs: sb3=DIR "
        "(stable-baselines3), tb=DIR[:TAG] (TensorBoard), csv=FILE (step,return,seed), each with "
        ",env=ID and ,label=NAME behind it where the files do not tell them",
    )
    add(
        "--by",
        action="append",
        default=[],
        metavar="KEY[,KEY]",
        help="group by these settings as well as algorithm and sampler; version, folder",
    )
    add(
        "--x",
        choices=list(AXES),
        default="steps",
        help="curves over environment steps, wall-clock seconds or updates (steps)",
    )
    add(
        "--curve",
        metavar="METRIC",
        help=f"the metric of the curves ({EVAL_CURVE} where all runs have enough evaluations, else "
        "the training episodes of each iteration, smoothed)",
    )
    add(
        "--threshold",
        action="append",
        default=[],
        metavar="[ENV=]RETURN",
        help="return to be reached (80%% of the way to the best group)",
    )
    add(
        "--normalise",
        choices=["human", "range"],
        default="",
        help="scale of scores across environments (human where known, else the runs' range)",
    )
    add(
        "--label",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="call a group or a rule otherwise, vpg=REINFORCE",
    )
    add(
        "--against",
        choices=["published", "reference"],
        help="show published numbers beside the runs, or runs that came with the package",
    )
    add(
        "--allow",
        action="append",
        default=[],
        metavar="KIND[,KIND]",
        help=f"mix what does not compare: {', '.join(ALLOW)}",
    )
    add("--unfinished", action="store_true", help="keep runs that did not reach their end")
    add("--out", metavar="FOLDER", help="where the files go (outputs/compare/<date_time>)")
    add(
        "--format",
        action="append",
        default=[],
        metavar="KIND[,KIND]",
        help="files of the figures: svg, png, pdf (svg, and png of the main ones)",
    )
    add("--width", type=inches, metavar="INCHES", help="of the figures: 3.25 for a column")
    add("--videos", action="store_true", help="show a video of each group on the page")
    add("--no-files", action="store_true", help="only print")
    add("--json", action="store_true", help="print one JSON object instead of words")
    arguments.add_common(parser)
    return parser


def output_folder(given: str | None, no_files: bool) -> Path:
    """Where the files go; raises `UserError` for a file, for a place inside a run and, unless there
    are no files to write, for one that cannot be written."""
    out = OUTPUTS / "compare" / moment() if given is None else Path(given)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {given} is a file; give a folder.")
    for folder in (out.resolve(), *out.resolve().parents):
        if (folder / METRICS).exists() and (folder / CONFIG).exists():
            raise UserError(
                f"The report would be written into the run directory {folder}. Give another "
                "folder with --out."
            )
    if not no_files:
        try:
            check_writable(out, "--out")
        except UserError as error:
            raise UserError(
                f"{error} Give another folder with --out, or --no-files to have the words alone."
            ) from None
    return out


def thresholds(texts: Sequence[str]) -> dict[str, float]:
    """ "3000" for all environments, "Hopper-v4=3000" for one."""
    found = {}
    for text in texts:
        env, _, value = text.rpartition("=")
        try:
            found[env] = float(value)
            if not math.isfinite(found[env]):
                raise ValueError
        except ValueError:
            raise UserError(
                f"--threshold {text}: {value or 'nothing'} is not a number. Write a return, 3000, "
                "or one for an environment, Hopper-v4=3000."
            ) from None
    return found


def kinds(texts: Sequence[str]) -> list[str]:
    """Of the figures' files; empty for what is usual."""
    from trpo_cli.compare.record import KINDS

    found = [name for text in texts for name in text.split(",") if name]
    unknown = sorted(set(found) - set(KINDS))
    if unknown:
        raise UserError(f"--format {unknown[0]}: there are {', '.join(KINDS)}.")
    return found


def allowed(texts: Sequence[str]) -> set[str]:
    from trpo_cli.compare.refusals import ALLOW

    found = {name for text in texts for name in text.split(",") if name}
    unknown = sorted(found - set(ALLOW))
    if unknown:
        raise UserError(f"--allow {unknown[0]}: there are {', '.join(ALLOW)}.")
    return found


def inches(text: str) -> float:
    """The type of --width."""
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not 2.0 <= width <= 30.0:
        raise argparse.ArgumentTypeError(f"{text} is not a width from 2 to 30 inches")
    return width
