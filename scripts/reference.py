"""Runs that the package's results are made of: train them, keep them, show them.

    python scripts/reference.py run                             # every cell that is not stored yet
    python scripts/reference.py run trpo,ppo Hopper-v4 --seeds 0-4
    python scripts/reference.py run ppo Swimmer-v4 discount=0.9999 --seeds 1000-1003 --steps 3e5
    python scripts/reference.py add RUN_OR_SWEEP_DIR...         # runs that were made otherwise
    python scripts/reference.py page                            # docs/results.md and README.md

`run` trains with trpo-run, one thread for each run and as many runs as cores, evaluates the last
policy with trpo-eval (100 episodes with sampled actions, 100 with the most likely ones) and stores
what came out. What is stored already with the settings of this checkout is passed over; a run that
was interrupted or killed goes on. Seeds below 1000 are results. Seeds from 1000 on are trials of
settings and go into a table of their own, by the evaluation that ends their training: no number is
ever both.

`page` makes the parts of the pages again that stand between marks (campaign/pages.py), and their
figures. A test compares the pages with the store.

The store is trpo_cli/reference/data, part of the package; the run directories stay outside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this checkout's package, whichever is installed

from campaign import cells, keep, pages, work  # noqa: E402
from trpo_cli.commands import arguments  # noqa: E402
from trpo_cli.commands.failures import run_command  # noqa: E402
from trpo_cli.compare.read import require, run_folders  # noqa: E402
from trpo_cli.errors import RunFailed, UserError  # noqa: E402
from trpo_cli.reference import store  # noqa: E402
from trpo_cli.system.machine import usable_cores  # noqa: E402

STORE = ROOT / "trpo_cli/reference/data"


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("reference.py", command, argv)


def command(words: list[str]) -> None:
    """Do what the first word says."""
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
    elif words[0] in ACTIONS:
        ACTIONS[words[0]](make_parser(words[0]).parse_intermixed_args(words[1:]))
    else:
        raise UserError(f"{words[0]} is none of {', '.join(ACTIONS)}.")


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


def page(args: argparse.Namespace) -> None:
    """Write what the store says into the pages."""
    results, trials = store.read(args.store), store.read_trials(args.store)
    for name in pages.PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        for file, runs in pages.figures(text, results).items():
            figure = ROOT / "docs" / file
            old = figure.read_bytes() if figure.is_file() else b""
            if pages.comment_of(old) != pages.digest(runs):
                figure.write_bytes(pages.picture(runs))
                print(f"{figure} drawn")
        new = pages.rewritten(text, name, results, trials)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{path} written")


ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {"run": run, "add": add, "page": page}


def make_parser(action: str) -> arguments.Parser:
    """The command line of one of the three."""
    parser = arguments.make_parser(f"reference.py {action}", ACTIONS[action].__doc__)
    add_argument = parser.add_argument
    if action == "run":
        add_argument(
            "cells", nargs="*", metavar="CELL", help="rules, environments, settings (all cells)"
        )
        add_argument("--seeds", help=f"0-4 or 0,1,2 ({cells.SEEDS})")
        add_argument("--steps", type=steps, help=f"environment steps ({cells.STEPS:,})")
        add_argument(
            "--runs", type=Path, default=Path("outputs/reference"), help="where run directories go"
        )
        add_argument(
            "--processes", type=arguments.positive, default=usable_cores(), help="runs at a time"
        )
        add_argument("--list", action="store_true", help="only print what there is to do")
    elif action == "add":
        add_argument("folders", nargs="+", metavar="RUN_OR_SWEEP_DIR")
    if action != "page":
        add_argument(
            "--clean", action="store_true", help="remove checkpoints and events of stored runs"
        )
    add_argument("--store", type=Path, default=STORE, help="the folder of the store")
    arguments.add_common(parser)
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
