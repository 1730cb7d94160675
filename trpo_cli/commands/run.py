"""``trpo-run``: Hydra composes, dataclasses validate, train() runs.

Nothing heavy is imported before the command line is known to be right: help and errors take tenths
of a second, where importing torch alone takes longer than a second.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from trpo_cli import __version__
from trpo_cli.commands.failures import report
from trpo_cli.distributed.processes import ALONE, Processes, join
from trpo_cli.errors import UserError
from trpo_cli.system.signals import Interrupted, Stop

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `UserError`s."""

    def error(self, message: str) -> NoReturn:
        hint = ""
        if message.startswith("unrecognized"):
            hint = " Settings are written without dashes, such as algo=ppo."
        raise UserError(f"{message}.{hint} trpo-run --help lists what there is.")


def make_parser() -> Parser:
    parser = Parser(prog="trpo-run", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    parser.add_argument("--restorable", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-r", "--run", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("-p", "--package")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    infos = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    parser.add_argument("-i", "--info", nargs="?", const="all", choices=infos)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 2 for bad input, 3 for a failed run, 128 + n after signal
    n (130 for Ctrl-C)."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    limit_library_threads()
    processes: Processes = ALONE

    def run() -> int:
        nonlocal processes
        with Stop(deferred=False):
            processes = join()
            with processes.agreed():
                command = prepare(arguments, processes)
            return command()

    try:
        return guarded(run, debug="debug=true" in map(str.lower, arguments))
    finally:
        processes.leave()


def limit_library_threads() -> None:
    """One thread per BLAS or OpenMP call unless the person says otherwise.

    Read once, when numpy and torch are imported. The matrices here are small, so more threads only
    wait for each other; a run's own threads step environments.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def guarded(command: Callable[[], int | None], *, debug: bool) -> int:
    """Run a command; whatever goes wrong becomes one paragraph on stderr and an exit status."""
    try:
        return command() or 0
    except Interrupted as signal:
        print(f"trpo-run: interrupted by {signal}.", file=sys.stderr)
        return signal.exit_status
    except KeyboardInterrupt:
        print("trpo-run: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return report(error, debug=debug)


def prepare(arguments: list[str], processes: Processes) -> Callable[[], int]:
    """What a command line asks for, after all that can be checked beforehand."""
    args = make_parser().parse_intermixed_args(arguments)
    for flag, given in (("--package", args.package), ("--resolve", args.resolve)):
        if given and not args.cfg:
            raise UserError(f"{flag} belongs to --cfg job, which prints the configuration.")
    several = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    if processes.count > 1:
        for flag, given in (
            ("-m", several),
            ("--selftest", args.selftest),
            ("--restorable", args.restorable),
        ):
            if given:
                raise UserError(
                    f"{flag} makes runs of one process each, and the launcher started "
                    f"{processes.count} processes for one run. Leave torchrun or {flag} out."
                )
    if args.restorable:
        from trpo_cli.commands.restorable import restorable

        return lambda: restorable(args.overrides, args.config_dir)
    if args.selftest:
        from trpo_cli.commands.selftest import refuse, selftest

        refuse(args)
        return lambda: selftest(args.overrides, args.config_dir)
    informs = args.version or args.help or args.hydra_help or args.cfg or args.info
    if informs or args.shell_completion:
        return (lambda: inform(args)) if processes.is_main else lambda: 0
    command = ["trpo-run", *arguments]
    from trpo_cli.commands.resume import require_run, resume, resumed_config, split

    run_dir, overrides = split(args.overrides)
    if run_dir is not None:
        if several:
            raise UserError(f"resume={run_dir} goes on with what is there; leave -m out.")
        from trpo_cli.sweeps.index import is_sweep

        if is_sweep(Path(run_dir)):
            if processes.count > 1:
                raise UserError(
                    f"resume={run_dir} is a sweep, whose runs have one process each, and the "
                    f"launcher started {processes.count}. Leave torchrun out."
                )
            from trpo_cli.commands.multirun.resume import resume_sweep

            return lambda: resume_sweep(Path(run_dir), overrides, args.config_dir)
        old = resumed_config(require_run(run_dir), overrides, args.config_dir)
        return lambda: guarded(lambda: resume(run_dir, old, command, processes), debug=old.debug)
    if several:
        from trpo_cli.commands.multirun.start import sweep

        return lambda: sweep(args.overrides, args.config_dir, command)
    from trpo_cli.commands.hydra.compose import compose, start_hydra
    from trpo_cli.commands.launch import launch

    config, hydra = compose(start_hydra(args.config_dir), overrides)
    return lambda: guarded(
        lambda: launch(config, hydra.run.dir, command, processes=processes), debug=config.debug
    )


def inform(args: argparse.Namespace) -> int:
    """Print what was asked for instead of running anything."""
    if args.version:
        print(f"trpo-run {__version__}")
        return 0
    if args.help:
        from trpo_cli.commands.hydra.help import help_text

        print(help_text(args.overrides))
        return 0
    from trpo_cli.commands.hydra.inspect import inspect

    return inspect(args)
