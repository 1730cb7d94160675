"""``trpo-eval RUN_DIR ...``: evaluates finished or running runs from their directories alone."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trpo_cli.commands import arguments, videos
from trpo_cli.commands.arguments import natural, positive
from trpo_cli.commands.failures import run_command
from trpo_cli.distributed.processes import process_count, process_number
from trpo_cli.errors import CannotWrite, ToldElsewhere, UserError
from trpo_cli.runs.checkpoint import step_of
from trpo_cli.runs.logger import append_eval
from trpo_cli.runs.manifest import read
from trpo_cli.sweeps import index
from trpo_cli.sweeps.index import is_sweep
from trpo_cli.sweeps.last import run_or_sweep
from trpo_cli.sweeps.look import has_begun
from trpo_cli.system.machine import usable_cores
from trpo_cli.terminal.display import PlainLines
from trpo_cli.terminal.evaluating import Waiting

if TYPE_CHECKING:
    from trpo_cli.config import Config


NAME = "trpo-eval"


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(NAME, evaluate_all, argv)


def evaluate_all(words: list[str]) -> None:
    """Look at all runs, then evaluate them one after another and print the results."""
    refuse_launcher()
    from trpo_cli.training.stored import open_run

    args = make_parser().parse_args(words)
    videos.check(args)
    folders = [run for word in args.run_dirs for run in run_folders(word)]
    # Absolute: an environment may change the working directory.
    runs = [
        (name, Path(name).absolute(), *open_run(Path(name), args.checkpoint, args.trust))
        for name in folders
    ]
    shown = [videos.folder_for(name, run_dir, args) for name, run_dir, _, _ in runs]
    out = PlainLines(sys.stdout)
    for (name, run_dir, config, folder), films in zip(runs, shown, strict=True):
        with contextlib.closing(Waiting()) as waiting:
            records = evaluate_run(run_dir, config, folder.absolute(), args, waiting, films)
        for record in records:
            if args.json:
                out.print(json.dumps({"run_dir": name, **record}))
                continue
            out.print(f"{name}  step {record['step']:,}  {describe(record, args.max_steps)}")
            for path in record.get("videos", ()):
                out.print(f"  {path}")


def run_folders(word: str) -> list[str]:
    """The run that a person named, or all runs of a sweep that have begun."""
    folder = run_or_sweep(word, word)
    if not is_sweep(folder):
        return [str(folder)]
    runs = [folder / job.folder for job in index.read(folder).jobs]
    begun = [str(run) for run in runs if has_begun(run)]
    if not begun:
        raise UserError(f"No run of the sweep in {folder} has begun.")
    return begun


def refuse_launcher() -> None:
    """An evaluation takes one process."""
    count = process_count()
    if count > 1 and process_number() > 0:
        raise ToldElsewhere("the first process says what is wrong")
    if count > 1:
        raise UserError(
            f"an evaluation takes one process, and the launcher started {count}; leave torchrun "
            "out."
        )


def evaluate_run(
    run_dir: Path,
    config: Config,
    folder: Path,
    args: argparse.Namespace,
    waiting: Waiting,
    films: Path | None,
) -> list[dict[str, Any]]:
    """Evaluate one checkpoint as the command line says and append to the run's eval.jsonl.

    films: the folder for videos. Returns one record per kind of actions, with "capped": episodes
    cut for want of a limit, and with "videos": the files, where some were written.
    """
    from trpo_cli.samplers.whole_episodes import Watched
    from trpo_cli.simulators.make import make_simulator
    from trpo_cli.training.evaluation import MAX_ENVS, evaluate, evaluation_streams, load_policy
    from trpo_cli.training.memory import check_parts, evaluation_bytes

    check_parts({f"--episodes {args.episodes}": evaluation_bytes(args.episodes, False)})
    seed = args.seed if args.seed is not None else (config.seed or 0)
    threads = args.threads or config.threads or usable_cores()
    simulator = make_simulator(config.env, min(args.episodes, MAX_ENVS), threads)
    start = read(run_dir).get("rows", {}).get("start")
    records = []
    with contextlib.closing(simulator), videos.open_screen(config.env, args) as screen:
        policy = load_policy(folder, config, simulator)
        for deterministic in args.kinds:
            seeds, generator = evaluation_streams(seed, args.episodes)
            how = "deterministic" if deterministic else "sampled"
            watched = Watched(videos.count(args))
            result = evaluate(
                policy,
                simulator,
                args.episodes,
                deterministic,
                seeds,
                generator,
                args.max_steps,
                told=waiting.teller(f"{run_dir.name} {how}", args.episodes),
                watched=watched,
            )
            record = {**result.record(step_of(folder)), "by": NAME}
            try:
                append_eval(run_dir, record, start)
            except CannotWrite as error:  # the answer is worth more than its record
                print(f"warning: {error}", file=sys.stderr)
            record["capped"] = result.capped
            episodes = list(zip(seeds, watched.episodes(), result.returns, strict=False))
            if args.render:
                videos.play(screen, episodes)
            elif films is not None:
                stem = f"eval_{record['step']}_{how}"
                told = waiting.teller(f"{run_dir.name} {how} videos", len(episodes))
                record["videos"] = videos.record(screen, films, stem, episodes, args, told)
            records.append(record)
    return records


def describe(record: dict[str, Any], max_steps: int) -> str:
    """One evaluation in a line, two when episodes were cut."""
    how = "deterministic" if record["deterministic"] else "sampled"
    returns, lengths = record["returns"], record["lengths"]
    text = (
        f"{how:13}  return {record['return_mean']:.4g} ± {record['return_std']:.4g}"
        f"  (min {min(returns):.4g}, max {max(returns):.4g})"
        f"  length {sum(lengths) / len(lengths):,.1f} steps"
    )
    if record["capped"]:
        text += (
            f"\n{'':13}  {record['capped']} of {len(returns)} episodes were cut after "
            f"{max_steps:,} steps: this environment has no time limit (--max-steps)"
        )
    return text


def make_parser() -> arguments.Parser:
    from trpo_cli.training.evaluation import MAX_STEPS

    parser = arguments.make_parser(
        "trpo-eval", "Run whole episodes with the policy of one or more runs."
    )
    add = parser.add_argument
    add(
        "run_dirs",
        nargs="+",
        metavar="RUN_DIR",
        help="a run or a sweep of trpo-run; last: the newest",
    )
    add("--episodes", type=positive, default=20, help="episodes per evaluation (20)")
    add("--checkpoint", default="last", help="last, best or step_<n> (last)")
    add("--seed", type=natural, help="root of the episodes' seeds (that of the run)")
    add("--threads", type=positive, help="threads stepping environments (those of the run)")
    add(
        "--max-steps",
        type=positive,
        default=MAX_STEPS,
        help=f"cut episodes here if the environment has no time limit ({MAX_STEPS})",
    )
    videos.add_flags(parser)
    add("--trust", action="store_true", help="import the modules that a stranger's run names")
    add("--json", action="store_true", help="print one JSON object per evaluation")
    kinds = parser.add_mutually_exclusive_group()
    both = [True, False]
    for name, kind, text in (
        ("--deterministic", [True], "the most likely action only (default: both)"),
        ("--sampled", [False], "sampled actions only (default: both)"),
    ):
        kinds.add_argument(
            name, dest="kinds", action="store_const", const=kind, default=both, help=text
        )
    arguments.add_common(parser)
    return parser
