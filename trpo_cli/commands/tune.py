"""``trpo-tune``: a search over settings, each tried on several seeds."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trpo_cli.commands import arguments
from trpo_cli.commands.arguments import natural, positive
from trpo_cli.commands.failures import run_command
from trpo_cli.errors import UserError
from trpo_cli.runs.chain import DIGITS
from trpo_cli.runs.directory import OUTPUTS, check_run_dir, moment
from trpo_cli.sweeps.last import search_named
from trpo_cli.system.signals import Stop
from trpo_cli.terminal.display import be_quiet, count, is_quiet, on_screen
from trpo_cli.tune.points import MEDIAN, PRUNERS
from trpo_cli.tune.settings import FILE, Settings, read

DESCRIPTION = """\
Search for good settings of trpo-run: every trial draws some, trains on several seeds and is worth
the mean of their final evaluations. Optuna chooses what to try next, or candidates of yours race;
trials that fall behind the others are given up early."""

TASK = {"algo", "env", "env.id", "experiment"}
"""Choices of which a search wants one named: without any, the default task would be searched."""

EXAMPLES = """\
  trpo-tune algo=ppo env=CartPole-v1 total_steps=100000 --trials 40 --seeds 3
  trpo-tune algo=trpo env=Hopper-v4 total_steps=300000 --space my_space.yaml
  trpo-tune algo=ppo env=Walker2d-v4 --candidates candidates.yaml --seeds 4 --prune halving
  trpo-tune resume=outputs/tune/2026-11-20_12-00-00 --trials 80

A search space has one line per setting, a range or a list of values:

  algo.learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}
  algo.epochs: {low: 1, high: 20}
  policy.activation: [tanh, relu]

A file of candidates has an entry for each, {} for the defaults:

  - {}
  - algo.learning_rate: 1.0e-3
  - {algo.learning_rate: 1.0e-3, algo.epochs: 4}

"""


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("trpo-tune", tune, argv)


def tune(words: list[str]) -> int:
    """Begin a search, or go on with one."""
    args = make_parser().parse_intermixed_args(words)
    resumed = [o for o in args.overrides if o.startswith("resume=")]
    args.resumed = bool(resumed)
    be_quiet(args.quiet)
    arguments.refuse_repeated(args.overrides)
    if args.trust and not resumed:
        raise UserError("--trust belongs to resume=, which goes on with somebody's directory.")
    if resumed:
        return go_on(args, resumed)
    return begin(args, ["trpo-tune", *words])


def begin(args: argparse.Namespace, command: list[str]) -> int:
    """Check everything, make the folder and search."""
    from trpo_cli.commands.hydra.compose import compose, start_hydra
    from trpo_cli.commands.hydra.overrides import check_overrides
    from trpo_cli.commands.search_candidates import read_candidates
    from trpo_cli.commands.search_space import read_space
    from trpo_cli.runs.place import take, take_unnamed
    from trpo_cli.tune.study import import_optuna

    overrides = check_overrides(args.overrides)
    _refuse(overrides)
    hydra = start_hydra(args.config_dir)
    config, _ = compose(hydra, overrides)
    if config.eval.episodes == 0:
        raise UserError(
            "eval.episodes=0 leaves a trial without a final evaluation, by which it is judged. "
            "Leave it out."
        )
    candidates, space, left_out = list[dict[str, str]](), "", list[str]()
    if args.candidates:
        candidates = read_candidates(hydra, overrides, args.candidates)
        _check_number(args, len(candidates))
    else:
        space, left_out = read_space(hydra, overrides, config, args.space)
    import_optuna()
    folder = Path(args.out) if args.out else None
    if folder is not None:
        check_run_dir(folder, "--out")
    settings = Settings(
        shlex.join(command),
        overrides,
        space,
        args.seeds or 3,
        args.trials or len(candidates) or 50,
        args.sampler or "tpe",
        args.prune or MEDIAN,
        args.search_seed or 0,
        str(Path(args.config_dir).resolve()) if args.config_dir else None,
        secrets.token_hex(DIGITS // 2),
        args.first_seed or 0,
        candidates,
    )
    new = OUTPUTS / "tune" / moment()
    with take(folder, "--out", "search") if folder else take_unnamed(new, "search") as place:
        settings.write(place.folder)
        if left_out:
            say(f"not searched, since nothing would read it here: {', '.join(left_out)}")
        return search(place.folder, settings, args, config)


def go_on(args: argparse.Namespace, resumed: list[str]) -> int:
    """Continue the search in a folder, with more trials if asked for."""
    from trpo_cli.commands.hydra.compose import compose, start_hydra
    from trpo_cli.runs.lock import Lock

    folder = search_named(resumed[0].partition("=")[2], resumed[0])
    others = [o for o in args.overrides if o not in resumed[:1]]
    fixed = {"--space": args.space, "--seeds": args.seeds, "--sampler": args.sampler}
    fixed |= {"--out": args.out, "--search-seed": args.search_seed, "-cd": args.config_dir}
    fixed |= {"--candidates": args.candidates, "--prune": args.prune}
    fixed |= {"--first-seed": args.first_seed}
    given = [*others, *(flag for flag, value in fixed.items() if value is not None)]
    if given:
        raise UserError(
            f"{given[0]} cannot be given with resume={folder}: a search goes on as it began. Only "
            "--trials and --jobs may change."
        )
    settings = read(folder)
    if not args.trust:
        powers_of(settings, folder).check(str(folder / FILE))
    config, _ = compose(start_hydra(settings.config_dir), settings.overrides, recorded=True)
    with Lock(folder, "search"):
        if args.trials is not None:
            settings = dataclasses.replace(settings, trials=args.trials)
        return search(folder, settings, args, config)


def search(folder: Path, settings: Settings, args: argparse.Namespace, config: Any) -> int:
    """Run trials until there are as many as wanted; then say what was found. The folder is
    locked."""
    from trpo_cli.sweeps.pool import Pool, divide_cores
    from trpo_cli.tune.schedule import Plan, Schedule
    from trpo_cli.tune.study import Search

    at_once, threads = divide_cores(settings.trials * settings.seeds, config.threads, args.jobs)
    plan = Plan(
        folder,
        tuple(settings.overrides),
        tuple(settings.seeds_used()),
        config.total_steps,
        settings.trials,
        settings.prune,
    )
    with Stop(deferred=True, quiet=True) as stop:
        found = Search(
            folder,
            settings.dimensions(str(folder / FILE)),
            settings.sampler,
            settings.prune,
            settings.search_seed,
            settings.journal,
            settings.candidates,
        )
        if args.resumed and args.trials is not None:
            settings.write(folder)
        say(
            f"{count(settings.trials, 'trial')} of {count(settings.seeds, 'seed')}: at most "
            f"{count(settings.trials * settings.seeds, 'run')} of {config.total_steps:,} steps, "
            f"{at_once} at a time with {count(threads, 'thread')} each, in {folder}"
        )
        if not found.journal.chained:
            print(
                f"the journal of {folder} carries no chain, as an older version began it: changes "
                "to it would go unnoticed",
                flush=True,
            )
        powers_of(settings, folder).remember()
        trusted = args.trust or not args.resumed
        pool = Pool(at_once, threads=threads, config_dir=settings.config_dir, trusted=trusted)
        try:
            with pool:
                schedule = Schedule(plan, found, pool, say)
                schedule.run(stop.requested)
                if stop.received is not None:
                    name = signal.Signals(stop.received).name
                    print(f"{name}: each run writes a checkpoint.", flush=True)
        finally:
            conclude(folder, settings, found)
    return 0


def say(text: str) -> None:
    """A line of progress."""
    if not is_quiet():
        print(on_screen(text, sys.stdout), flush=True)


def conclude(folder: Path, settings: Settings, found: Any) -> None:
    """Write and print what is known so far, and what can be done with it."""
    from trpo_cli.tune.report import report, write_csv

    records = found.records()
    facts = records, found.importance(), settings
    with contextlib.suppress(OSError):
        (folder / "report.md").write_text(report(*facts), encoding="utf-8")
        write_csv(records, folder / "trials.csv", settings)
    text = report(*facts, width=shutil.get_terminal_size().columns)
    print(f"\n{text}\nsearch directory {folder}: report.md, trials.csv, trials")
    if sum(record.state != "running" for record in records) < settings.trials:
        print(f"go on:     trpo-tune resume={shlex.quote(str(folder))}", flush=True)


def powers_of(settings: Settings, folder: Path) -> Any:
    """What going on with a search gives to whoever wrote its folder."""
    from trpo_cli.commands.multirun.powers import powers
    from trpo_cli.tune.space import override

    space = settings.dimensions(str(folder / FILE))
    drawn = [override(part.key, value) for part in space for value in part.ends()]
    return powers([*settings.overrides, *drawn], [], settings.config_dir)


def _check_number(args: argparse.Namespace, candidates: int) -> None:
    if args.space:
        raise UserError(
            f"--space {args.space} cannot be given with --candidates {args.candidates}, whose "
            "values are the search space. Leave one of them out."
        )
    if args.trials is not None and args.trials < candidates:
        raise UserError(
            f"--trials {args.trials} is less than the {candidates} candidates of "
            f"{args.candidates}. Leave --trials out to try each of them."
        )


def _refuse(overrides: Sequence[str]) -> None:
    named = {text.partition("=")[0].lstrip("+") for text in overrides}
    if not named & TASK:
        raise UserError(
            "What to search settings for is not said, and a search is many runs. Name the update "
            "rule or the environment, for example: "
            "trpo-tune algo=ppo env=CartPole-v1 total_steps=100000 --trials 40 --seeds 3"
        )
    for text in overrides:
        key = text.partition("=")[0].lstrip("+~")
        if key == "seed":
            raise UserError(
                f"{text}: every trial runs on seeds 0, 1, 2, ... ; say how many with --seeds, "
                "and which is the first with --first-seed."
            )
        if key.startswith("hydra"):
            raise UserError(f"{text}: a search makes its folders by itself; name one with --out.")


def make_parser() -> arguments.Parser:
    parser = arguments.make_parser("trpo-tune", DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("overrides", nargs="*", metavar="key=value", help="settings of trpo-run for all trials")
    add("--space", metavar="FILE", help="the search space (ours for the update rule)")
    add("--candidates", metavar="FILE", help="settings to try, instead of a space")
    add("--trials", type=positive, metavar="N", help="trials in all (50, or one per candidate)")
    add("--seeds", type=positive, metavar="N", help="runs of each trial (3)")
    add("--first-seed", type=natural, metavar="N", help="of each trial's runs (0)")
    add("--jobs", type=positive, metavar="N", help="runs at a time (as cores allow)")
    add("--sampler", choices=["tpe", "random"], help="how settings are drawn (tpe)")
    add("-q", "--quiet", action="store_true", help="the result only, no line for each trial")
    add("--prune", choices=PRUNERS, help="how trials are given up (median)")
    add("--search-seed", type=int, metavar="N", help="of the draws (0)")
    add("--trust", action="store_true", help="import what a stranger's search names (resume=)")
    add("--out", metavar="DIR", help="folder of the search (outputs/tune/<date_time>)")
    add("-cd", "--config-dir", metavar="DIR", help="a folder with YAML files of your own")
    arguments.add_common(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
