"""``trpo-compare DIR...``: from run directories to a verdict, tables, figures and a page."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trpo_cli.commands import arguments
from trpo_cli.commands.failures import run_command
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import CONFIG, METRICS, OUTPUTS, check_writable, moment
from trpo_cli.sweeps.last import named
from trpo_cli.terminal.display import columns, fitted
from trpo_cli.version import __version__

if TYPE_CHECKING:
    from trpo_cli.compare.groups import Grouping
    from trpo_cli.compare.read import Found, Run
    from trpo_cli.reference.place import Placed


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("trpo-compare", parse, argv)


def parse(words: Sequence[str]) -> None:
    args = make_parser().parse_args(words)
    args.command = shlex.join(["trpo-compare", *words])
    compare(args)


def compare(args: argparse.Namespace) -> None:
    """Read, analyse, and only then write."""
    from trpo_cli.compare.analyse import analyse
    from trpo_cli.compare.comparable import comparable
    from trpo_cli.compare.films import find_films, missing
    from trpo_cli.compare.foreign import find_foreign, source_of
    from trpo_cli.compare.formats import to_text
    from trpo_cli.compare.groups import check_keys, make_groups
    from trpo_cli.compare.metric import EVAL_CURVE
    from trpo_cli.compare.ranking import headline
    from trpo_cli.compare.read import Found, find_runs, unchecked
    from trpo_cli.compare.record import Made, as_json
    from trpo_cli.compare.refusals import refuse_mixtures
    from trpo_cli.compare.results import Options
    from trpo_cli.compare.sweep import find_sweeps
    from trpo_cli.compare.tables import all_tables, for_terminal
    from trpo_cli.compare.verdict import verdict

    started = time.monotonic()
    if args.videos and args.no_files:
        raise UserError("--videos shows videos on the page, and --no-files writes none.")
    out, files = output_folder(args.out, args.no_files), kinds(args.format)
    by = [key for keys in args.by for key in keys.split(",") if key]
    options = Options(args.x, args.curve, thresholds(args.threshold), args.normalise)
    sources = [source for word in args.dirs if (source := source_of(word)) is not None]
    ours = [word for word in args.dirs if word not in {source.word for source in sources}]
    args.dirs = [str(named(word, word, searches=True)) for word in ours]
    found = Found([], [])
    if args.dirs:
        found = find_runs(args.dirs, () if args.curve in (None, EVAL_CURVE) else (args.curve,))
    if sources:
        theirs = find_foreign(sources)
        found = Found([*found.runs, *theirs.runs], [*found.notes, *theirs.notes])
    runs, notes = complete(found, args.unfinished)
    runs, without = comparable(runs)
    notes += without
    notes += unchecked(runs)
    notes += refuse_mixtures(runs, allowed(args.allow), check_keys(runs, by))
    notes += nothing_published(runs) if args.against == "published" else []
    grouping = make_groups(runs, by, args.label)
    placed = among_reference(grouping, notes) if args.against == "reference" else []
    comparison = analyse(grouping, options, notes)
    films = find_films(comparison) if args.videos else []
    comparison = replace(comparison, notes=[*comparison.notes, *missing(films)])
    sweeps = find_sweeps(runs, comparison.protocol, args.label)
    tables = all_tables(comparison, sweeps, args.against == "published")
    words = verdict(comparison)
    said: list[str] = []
    if placed:
        from trpo_cli.reference import beside
        from trpo_cli.reference.place import in_words

        comparison = beside.with_background(comparison, placed)
        tables.append(beside.table(placed))
        said = [in_words(p) for p in placed]
    record = {**as_json(comparison, sweeps, tables, words), "reference": said}
    if not args.json:  # before the files, whose disk may be full
        room = columns() if sys.stdout.isatty() else 10**6
        for note in comparison.notes:
            print(fitted(f"note: {note}", room))
        table = to_text(for_terminal(comparison), room)
        print(f"\n{fitted(headline(comparison), room)}\n\n{table}\n\n{fitted(words, room)}\n")
        for sentence in said:
            print(f"{fitted(sentence, room)}\n")
        for sweep in sweeps:
            warnings = f"Settings of {sweep.algo} on {sweep.env}: {' '.join(sweep.warnings)}"
            print(fitted(warnings, room))
    if not args.no_files:
        from trpo_cli.commands.defaults import defaults_of
        from trpo_cli.compare.methods import methods
        from trpo_cli.compare.output import Asked, write

        asked = Asked(args.against == "published", files, args.width, films)
        date = f"{datetime.now():%-d %B %Y, %H:%M}"
        paragraphs = methods(comparison, __version__, defaults_of)
        made = Made(args.command, date, __version__, paragraphs)
        record["methods"] = paragraphs
        record = write(out, record, comparison, sweeps, tables, asked, made)
    if args.json:
        print(json.dumps(record, allow_nan=False))
    elif not args.no_files:
        print(f"{out / 'report.html'}  ({comparison.runs} runs, "
              f"{time.monotonic() - started:.1f} s)")  # fmt: skip


def complete(found: Found, unfinished: bool) -> tuple[list[Run], list[str]]:
    """The runs to compare; without `unfinished`, those that reached their end."""
    kept, notes = [], list(found.notes)
    for run in found.runs:
        status = run.manifest.get("status")
        if run.finished or unfinished:
            kept.append(run)
        if not run.finished:
            note = (
                f"{run.path} is {status} at {run.steps:,} of {int(run.config['total_steps']):,} "
                f"steps and is {'kept' if unfinished else 'left out'}."
            )
            if status == "failed" and not unfinished:
                note += " If learning made it fail, leaving it out flatters its group."
            notes.append(note)
    if not kept:
        raise UserError(
            f"None of the {len(found.runs)} runs is finished: {notes[-1]} --unfinished compares "
            "them as they are; trpo-run resume=RUN_DIR goes on with one."
        )
    return kept, notes


def nothing_published(runs: Sequence[Run]) -> list[str]:
    """Sentences on what --against published looks for and does not find."""
    from trpo_cli.compare.groups import grouped, rule_of
    from trpo_cli.compare.published import absent

    notes = []
    for env, same in grouped(runs, [run.env for run in runs]).items():
        rules = grouped(same, [rule_of(run) for run in same])
        notes += absent(env, {rule: min(r.reached for r in found) for rule, found in rules.items()})
    return notes


def among_reference(grouping: Grouping, notes: list[str]) -> list[Placed]:
    """Where each group lies among the runs that came with the package; notes gets a sentence on
    each of which none did."""
    from trpo_cli.reference.place import place_all
    from trpo_cli.reference.store import packaged

    placed, without = place_all(grouping, packaged())
    notes += without
    return placed


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


def inches(text: str) -> float:
    """The type of --width."""
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not 2.0 <= width <= 30.0:
        raise argparse.ArgumentTypeError(f"{text} is not a width from 2 to 30 inches")
    return width


def allowed(texts: Sequence[str]) -> set[str]:
    from trpo_cli.compare.refusals import ALLOW

    found = {name for text in texts for name in text.split(",") if name}
    unknown = sorted(found - set(ALLOW))
    if unknown:
        raise UserError(f"--allow {unknown[0]}: there are {', '.join(ALLOW)}.")
    return found


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


if __name__ == "__main__":
    sys.exit(main())
