"""``trpo-compare DIR...``: from run directories to a verdict, tables, figures and a page."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from trpo_cli.commands.compare_arguments import (
    allowed,
    kinds,
    make_parser,
    output_folder,
    thresholds,
)
from trpo_cli.commands.failures import run_command
from trpo_cli.errors import UserError
from trpo_cli.sweeps.last import named
from trpo_cli.terminal.display import columns, fitted
from trpo_cli.version import __version__

if TYPE_CHECKING:
    from trpo_cli.compare.groups import Grouping
    from trpo_cli.compare.read import Found, Run
    from trpo_cli.compare.results import Comparison
    from trpo_cli.compare.sweep import Sweep
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
    from trpo_cli.compare.films import find_films, missing
    from trpo_cli.compare.groups import check_keys, make_groups
    from trpo_cli.compare.record import as_json
    from trpo_cli.compare.refusals import refuse_mixtures
    from trpo_cli.compare.results import Options
    from trpo_cli.compare.sweep import find_sweeps
    from trpo_cli.compare.tables import all_tables
    from trpo_cli.compare.verdict import verdict

    started = time.monotonic()
    if args.videos and args.no_files:
        raise UserError("--videos shows videos on the page, and --no-files writes none.")
    out, files = output_folder(args.out, args.no_files), kinds(args.format)
    by = [key for keys in args.by for key in keys.split(",") if key]
    options = Options(args.x, args.curve, thresholds(args.threshold), args.normalise)
    published = args.against == "published"
    runs, notes = read(args)
    notes += refuse_mixtures(runs, allowed(args.allow), check_keys(runs, by))
    notes += nothing_published(runs) if published else []
    grouping = make_groups(runs, by, args.label)
    placed = among_reference(grouping, notes) if args.against == "reference" else []
    comparison = analyse(grouping, options, notes)
    films = find_films(comparison) if args.videos else []
    comparison = replace(comparison, notes=[*comparison.notes, *missing(films)])
    sweeps = find_sweeps(runs, comparison.protocol, args.label)
    tables = all_tables(comparison, sweeps, published)
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
        say(comparison, words, said, sweeps)
    if not args.no_files:
        from trpo_cli.commands.defaults import defaults_of
        from trpo_cli.compare.methods import methods
        from trpo_cli.compare.output import Asked, write
        from trpo_cli.compare.record import Made

        date = f"{datetime.now():%-d %B %Y, %H:%M}"
        paragraphs = methods(comparison, __version__, defaults_of)
        made = Made(args.command, date, __version__, paragraphs)
        asked = Asked(published, files, args.width, films)
        record["methods"] = paragraphs
        record = write(out, record, comparison, sweeps, tables, asked, made)
    if args.json:
        print(json.dumps(record, allow_nan=False))
    elif not args.no_files:
        took = time.monotonic() - started
        print(f"{out / 'report.html'}  ({comparison.runs} runs, {took:.1f} s)")


def read(args: argparse.Namespace) -> tuple[list[Run], list[str]]:
    """The runs that can be compared, ours and other tools', and what is to be said of the rest."""
    from trpo_cli.compare.comparable import comparable
    from trpo_cli.compare.foreign import find_foreign, source_of
    from trpo_cli.compare.metric import EVAL_CURVE
    from trpo_cli.compare.read import Found, find_runs, unchecked

    sources = [source for word in args.dirs if (source := source_of(word)) is not None]
    theirs = {source.word for source in sources}
    ours = [str(named(word, word, searches=True)) for word in args.dirs if word not in theirs]
    found = Found([], [])
    if ours:
        found = find_runs(ours, () if args.curve in (None, EVAL_CURVE) else (args.curve,))
    if sources:
        foreign = find_foreign(sources)
        found = Found([*found.runs, *foreign.runs], [*found.notes, *foreign.notes])
    runs, notes = complete(found, args.unfinished)
    runs, without = comparable(runs)
    return runs, [*notes, *without, *unchecked(runs)]


def say(comparison: Comparison, words: str, placed: Sequence[str], sweeps: Sequence[Sweep]) -> None:
    """Print notes, the table, the verdict, the places among the reference runs, and warnings."""
    from trpo_cli.compare.formats import to_text
    from trpo_cli.compare.ranking import headline
    from trpo_cli.compare.tables import for_terminal

    room = columns() if sys.stdout.isatty() else 10**6
    for note in comparison.notes:
        print(fitted(f"note: {note}", room))
    table = to_text(for_terminal(comparison), room)
    print(f"\n{fitted(headline(comparison), room)}\n\n{table}\n\n{fitted(words, room)}\n")
    for sentence in placed:
        print(f"{fitted(sentence, room)}\n")
    for sweep in sweeps:
        warnings = f"Settings of {sweep.algo} on {sweep.env}: {' '.join(sweep.warnings)}"
        print(fitted(warnings, room))


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


if __name__ == "__main__":
    sys.exit(main())
