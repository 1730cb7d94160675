"""``trpo-run``: Hydra composes, dataclasses validate, train() runs.

Nothing heavy is imported before the command line is known to be right: help and errors take tenths
of a second, where importing torch alone takes longer than a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from trpo_cli.commands import arguments
from trpo_cli.commands.failures import guarded, run_command
from trpo_cli.commands.race_arguments import add_race, bounds_of, check_race
from trpo_cli.distributed.processes import ALONE, Processes, join
from trpo_cli.errors import UserError
from trpo_cli.terminal.display import be_quiet

NAME = "trpo-run"
Task = Callable[[], int]


def make_parser() -> arguments.Parser:
    parser = arguments.make_parser(NAME, None, add_help=False)
    parser.add_argument("overrides", nargs="*", default=[])
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--help=all", action="store_true", dest="help_all")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    parser.add_argument("--restorable", action="store_true")
    parser.add_argument("--autotune", action="store_true")
    parser.add_argument("--autotune-file", metavar="FILE.yaml")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--watch", metavar="DIR")
    parser.add_argument("-r", "--run", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("-p", "--package")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    add_race(parser)
    infos = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    parser.add_argument("-i", "--info", nargs="?", const="all", choices=infos)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    processes: Processes = ALONE

    def command(words: list[str]) -> int:
        nonlocal processes
        processes = join()
        with processes.agreed():
            task = prepare(words, processes)
        return task()

    try:
        return run_command(NAME, command, argv, switch="debug=true")
    finally:
        processes.leave()


def prepare(words: list[str], processes: Processes) -> Task:
    """What a command line asks for, after all that can be checked beforehand."""
    args = make_parser().parse_intermixed_args(words)
    args.multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    check_flags(args, processes.count)
    be_quiet(args.quiet)
    if args.shell_completion:
        from trpo_cli.commands.completion import shell_completion

        return lambda: shell_completion(args.overrides)
    arguments.refuse_repeated(args.overrides, sweeps=True)
    if args.watch is not None:
        from trpo_cli.commands.watch import watch

        if args.overrides:
            raise UserError(f"--watch {args.watch} only looks; leave {args.overrides[0]} out.")
        return lambda: watch(args.watch)
    if args.restorable:
        from trpo_cli.commands.restorable import restorable

        return lambda: restorable(args.overrides, args.config_dir)
    if args.selftest:
        from trpo_cli.commands.selftest import refuse, selftest

        refuse(args)
        return lambda: selftest(args.overrides, args.config_dir)
    if args.autotune:
        from trpo_cli.commands.autotune import autotune

        return lambda: autotune(args.overrides, args.config_dir, args.autotune_file)
    informs = args.version or args.help or args.help_all or args.hydra_help or args.cfg or args.info
    if informs:
        return (lambda: inform(args)) if processes.is_main else lambda: 0
    return prepare_training(args, [NAME, *words], processes)


def check_flags(args: argparse.Namespace, count: int) -> None:
    """Raise `UserError` for flags that do not go together, or not with several processes."""
    if args.autotune_file is not None and not args.autotune:
        raise UserError("--autotune-file belongs to --autotune, which finds what to write there.")
    if args.autotune and args.multirun:
        raise UserError("--autotune times one run; leave -m out.")
    for flag, given in (("--package", args.package), ("--resolve", args.resolve)):
        if given and not args.cfg:
            raise UserError(f"{flag} belongs to --cfg job, which prints the configuration.")
    for flag, given in (
        ("-m", args.multirun),
        ("--selftest", args.selftest),
        ("--restorable", args.restorable),
        ("--autotune", args.autotune),
    ):
        if given and count > 1:
            raise UserError(
                f"{flag} makes runs of one process each, and the launcher started "
                f"{count} processes for one run. Leave torchrun or {flag} out."
            )


def prepare_training(args: argparse.Namespace, command: list[str], processes: Processes) -> Task:
    """A run, a sweep, or going on with one of them."""
    from trpo_cli.commands.resume import split

    run_dir, overrides = split(args.overrides)
    check_race(args, run_dir)
    if args.trust and run_dir is None:
        raise UserError("--trust belongs to resume=, which goes on with somebody's directory.")
    if run_dir is not None:
        return prepare_resumption(run_dir, overrides, args, command, processes)
    if args.multirun:
        if args.until_decided:
            from trpo_cli.commands.multirun.race import race

            return lambda: race(args.overrides, args.config_dir, command, bounds_of(args))
        from trpo_cli.commands.multirun.start import sweep

        return lambda: sweep(args.overrides, args.config_dir, command)
    from trpo_cli.commands.hydra.compose import compose, start_hydra
    from trpo_cli.commands.launch import launch

    config, hydra = compose(start_hydra(args.config_dir), overrides)
    return lambda: guarded(
        NAME,
        lambda: launch(config, hydra.run.dir, command, words=overrides, processes=processes),
        debug=config.debug,
    )


def prepare_resumption(
    run_dir: str,
    overrides: list[str],
    args: argparse.Namespace,
    command: list[str],
    processes: Processes,
) -> Task:
    """Going on with the run or the sweep in a folder."""
    from trpo_cli.commands.resume import require_run, resume, resumed_config
    from trpo_cli.race.record import is_race
    from trpo_cli.sweeps.index import is_sweep
    from trpo_cli.sweeps.last import run_or_sweep

    run_dir = str(run_or_sweep(run_dir, f"resume={run_dir}"))
    if args.multirun:
        raise UserError(f"resume={run_dir} goes on with what is there; leave -m out.")
    if args.max_hours and not is_race(Path(run_dir)):
        raise UserError(f"--max-hours bounds a race, and resume={run_dir} is none.")
    if is_sweep(Path(run_dir)):
        if processes.count > 1:
            raise UserError(
                f"resume={run_dir} is a sweep, whose runs have one process each, and the "
                f"launcher started {processes.count}. Leave torchrun out."
            )
        if is_race(Path(run_dir)):
            from trpo_cli.commands.multirun.race import resume_race

            return lambda: resume_race(
                Path(run_dir),
                overrides,
                args.config_dir,
                trusted=args.trust,
                max_hours=args.max_hours,
            )
        from trpo_cli.commands.multirun.resume import resume_sweep

        return lambda: resume_sweep(Path(run_dir), overrides, args.config_dir, trusted=args.trust)
    old = resumed_config(require_run(run_dir), overrides, args.config_dir, trusted=args.trust)
    return lambda: guarded(NAME, lambda: resume(run_dir, old, command, processes), debug=old.debug)


def inform(args: argparse.Namespace) -> int:
    """Print what was asked for instead of running anything."""
    if args.version:
        print(arguments.version_of(NAME))
        return 0
    if args.help or args.help_all:
        from trpo_cli.commands.hydra.help import help_text

        print(help_text(args.overrides, args.config_dir, args.help_all))
        return 0
    from trpo_cli.commands.hydra.inspect import inspect

    return inspect(args)
