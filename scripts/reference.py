"""Runs that the package's results are made of: train them, keep them, show them.

    python scripts/reference.py run                             # every cell that is not stored yet
    python scripts/reference.py run trpo,ppo Hopper-v4 --seeds 0-4
    python scripts/reference.py run ppo Swimmer-v4 discount=0.9999 --seeds 1000-1003 --steps 3e5
    python scripts/reference.py add RUN_OR_SWEEP_DIR...         # runs that were made otherwise

`run` trains with trpo-run, one thread for each run and as many runs as cores, evaluates the last
policy with trpo-eval (100 episodes with sampled actions, 100 with the most likely ones) and stores
what came out. What is stored already with the settings of this checkout is passed over; a run that
was interrupted or killed goes on. Seeds below 1000 are results. Seeds from 1000 on are trials of
settings and go into a table of their own, by the evaluation that ends their training: no number is
ever both.

The store is trpo_cli/reference/data, part of the package; the run directories stay outside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this checkout's package, whichever is installed

from campaign import cells, keep, work  # noqa: E402
from trpo_cli.commands import arguments  # noqa: E402
from trpo_cli.commands.failures import run_command  # noqa: E402
from trpo_cli.compare.read import require, run_folders  # noqa: E402
from trpo_cli.errors import RunFailed, UserError  # noqa: E402
from trpo_cli.system.machine import usable_cores  # noqa: E402

STORE = ROOT / "trpo_cli/reference/data"


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("reference.py", command, argv)


def command(words: list[str]) -> None:
    args = make_parser().parse_args(words)
    args.action(args)


def run(args: argparse.Namespace) -> None:
    """Train, evaluate and store what the store has not."""
    if args.cells:
        asked = [cells.named(args.cells, args.seeds or cells.SEEDS, args.steps or cells.STEPS)]
    elif args.seeds or args.steps:
        raise UserError("--seeds and --steps belong to cells that are named, trpo Hopper-v4.")
    else:
        asked = list(cells.all_cells())
    wanted = [job for some in asked for job in some.jobs()]
    todo = work.missing(wanted, args.store)
    print(f"{len(wanted) - len(todo)} of {len(wanted)} runs are stored; {len(todo)} to do.")
    if args.list:
        print("\n".join(f"{job.name}  {' '.join(job.words)}" for job in todo))
        return
    failed = work.Workers(args.runs, args.store, args.processes, args.clean).do(todo)
    if failed:
        raise RunFailed(f"{failed} of {len(todo)} runs failed; the same command tries them again.")


def add(args: argparse.Namespace) -> None:
    """Store finished runs."""
    found = {}
    refused = list[str]()
    for path in (path for name in args.folders for path in run_folders(require(name))):
        try:
            found[path] = keep.distil(path)
        except UserError as error:
            refused.append(str(error))
    for why in refused:
        print(f"left out: {why}", file=sys.stderr)
    if not found:
        raise UserError(f"There is nothing to store below {', '.join(args.folders)}.")
    before = keep.put(args.store, list(found.values()))
    if args.clean:
        for path in found:
            keep.clean(path)
    print(f"{len(found)} runs stored in {args.store}, {before} of them in the place of older ones.")


def make_parser() -> arguments.Parser:
    assert __doc__ is not None
    parser = arguments.make_parser("reference.py", __doc__)
    actions = parser.add_subparsers(required=True, parser_class=arguments.Parser)
    one = actions.add_parser("run", help="train, evaluate and store what the store has not")
    one.set_defaults(action=run)
    one.add_argument(
        "cells", nargs="*", metavar="CELL", help="rules, environments, settings (all cells)"
    )
    one.add_argument("--seeds", help=f"0-4 or 0,1,2 ({cells.SEEDS})")
    one.add_argument("--steps", type=steps, help=f"environment steps ({cells.STEPS:,})")
    one.add_argument(
        "--runs", type=Path, default=Path("outputs/reference"), help="where run directories go"
    )
    one.add_argument(
        "--processes", type=arguments.positive, default=usable_cores(), help="runs at a time"
    )
    one.add_argument("--list", action="store_true", help="only print what there is to do")
    two = actions.add_parser("add", help="store runs that were made otherwise")
    two.set_defaults(action=add)
    two.add_argument("folders", nargs="+", metavar="RUN_OR_SWEEP_DIR")
    for action in (one, two):
        action.add_argument("--store", type=Path, default=STORE, help="the folder of the store")
        action.add_argument(
            "--clean", action="store_true", help="remove checkpoints and events of stored runs"
        )
        action.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def steps(text: str) -> int:
    """The type of --steps: 300000 or 3e5."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value < 1 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())
