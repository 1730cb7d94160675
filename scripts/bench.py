"""Steps per second beside the physics alone and beside other libraries.

    python scripts/bench.py                                  # everything, about an hour
    python scripts/bench.py --envs Hopper-v4 --no-others     # one environment, ours only
    python scripts/bench.py --envs PongNoFrameskip-v4        # an Atari game

What is compared runs in two processes, which are measured in turn, one idle while the other works:
a few seconds each, some pairs of them. A figure is the median of the pairs' ratios, with the lowest
and the highest in brackets: a machine whose speed varies gives nearly the same answer twice.

ours      whole iterations (collect, estimate, update, value) with default settings, the first two
          left out; milliseconds per 1,024 steps by phase
ceiling   16 simulations with random actions and nothing else: `mujoco.batch` stepping or a compiled
          loop over `mj_step`, whichever is faster here
others    stable-baselines3's PPO and sb3-contrib's TRPO with their defaults (PPO with minibatches
          of our size), 2,048 steps per update from 1, 8 or 16 environments, on 1 torch thread and
          on all: the best of the six, each of which is first measured in one pair

All of it on one core, and again on all: a process that may use fewer than there are is pinned.

An environment step is one control step (4 or 5 physics steps), as `env.step` takes it. Atari games
differ in three points: the ceiling is ale-py's own vector environment with 16 games on a thread
per core, random actions and 4 frames of 84 x 84; the other library is stable-baselines3's PPO with
the settings usual for Atari (8 games, 128 steps, 4 epochs of 256, Nature network), its games in
one process or in several, on 1 torch thread and on all; and an agent step is four frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmark import ceilings, others, ours
from benchmark.pairs import Comparison, in_turn
from benchmark.report import Result, Row, summary, table
from benchmark.worker import Failed, Work, Worker
from trpo_cli.env_ids import is_game
from trpo_cli.system.machine import machine, usable_cores, versions

PONG = "PongNoFrameskip-v4"
ENVS = [
    "Ant-v4",
    "HalfCheetah-v4",
    "Hopper-v4",
    "Walker2d-v4",
    "Swimmer-v4",
    "Humanoid-v4",
    "Reacher-v4",
    "InvertedPendulum-v4",
    "InvertedDoublePendulum-v4",
    PONG,
]
ALGOS = ["vpg", "npg", "trpo", "ppo"]


def main() -> int:
    args = parse()
    results: list[Result] = []
    for env in args.envs:
        for cores in args.cores:
            try:
                results.append(measure(env, cores, args))
            except Failed as error:
                print(f"{env} has no ceiling: {error}", file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                return 130
            print(table(results[-1]), flush=True)
            if args.out:  # each time: all of it takes long, and may be interrupted
                args.out.write_text(json.dumps(report(results, args), indent=2) + "\n")
    if len(results) > 1:
        print(summary(results))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usable = usable_cores()
    parser.add_argument("--envs", nargs="+", default=ENVS)
    parser.add_argument("--algos", nargs="+", default=ALGOS)
    parser.add_argument("--cores", nargs="+", type=int, default=sorted({1, usable}))
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--no-others", dest="others", action="store_false")
    parser.add_argument("--others-envs", nargs="+", default=["Hopper-v4", "HalfCheetah-v4", PONG])
    parser.add_argument("--vine-envs", nargs="*", default=["Hopper-v4", "HalfCheetah-v4"])
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file")
    parser.add_argument("--settings", nargs="*", default=[], help="settings of ours, key=value")
    args = parser.parse_args()
    if not all(1 <= cores <= usable for cores in args.cores):
        parser.error(f"--cores: {args.cores}, and this process may use 1 to {usable}.")
    if args.pairs < 1 or args.seconds <= 0:
        parser.error("--pairs must be at least 1, and --seconds more than 0.")
    if args.others and not all(map(importlib.util.find_spec, ["stable_baselines3", "sb3_contrib"])):
        parser.error(
            "stable-baselines3 or sb3-contrib is not installed: pip install -e '.[bench]', or "
            "leave them out with --no-others."
        )
    return args


def measure(env: str, cores: int, args: argparse.Namespace) -> Result:
    """All figures of one environment on so many cores. Raises `Failed` without a ceiling."""
    jobs: list[tuple[str, Callable[..., Work], dict[str, Any]]] = [
        (algo, ours.training, {"env": env, "algo": algo, "settings": args.settings})
        for algo in args.algos
    ]
    if env in args.vine_envs:
        jobs.append(("vine rollouts", ours.vine, {"env": env}))
    rows = []
    with ExitStack() as alive:
        say(f"{env}, cores: {cores}, ceiling")
        name, ceiling, loop = best_ceiling(env, cores, args, alive)
        for job, make, arguments in jobs:
            say(f"{env}, cores: {cores}, {job}")
            row = Row(job)
            try:
                with Worker(make, cores, **arguments) as worker:
                    row = Row(job, in_turn(worker, ceiling, args.pairs, args.seconds))
                    if args.others and env in args.others_envs and job in others.rules(env):
                        row = against_others(row, worker, env, cores, args)
            except Failed as error:
                row = dataclasses.replace(row, error=str(error))
            rows.append(row)
    return Result(env, cores, name, loop, rows)


def best_ceiling(
    env: str, cores: int, args: argparse.Namespace, alive: ExitStack
) -> tuple[str, Worker, Comparison | None]:
    """Its name, its worker, and the compiled loop against MuJoCo's batched stepping."""

    def start(make: Callable[..., Work]) -> Worker:
        return alive.enter_context(Worker(make, cores, env=env))

    if is_game(env):
        return "ale-py's vector environment", start(ceilings.atari), None
    batch, loop = start(ceilings.mujoco_batch), start(ceilings.compiled_loop)
    comparison = in_turn(loop, batch, args.pairs, args.seconds)
    if comparison.ratio < 1.0:
        return "mujoco.batch", batch, comparison
    return "compiled loop", loop, comparison


def against_others(row: Row, worker: Worker, env: str, cores: int, args: argparse.Namespace) -> Row:
    """The row with our worker against the other library's, in the arrangement that is its best."""
    make, tried = others.arrangements(env, cores)

    def against(arrangement: dict[str, int], pairs: int) -> Comparison:
        threads = arrangement["torch_threads"]
        say(f"  beside {arrangement}")
        with Worker(make, cores, threads, env=env, algo=row.name, **arrangement) as other:
            return in_turn(worker, other, pairs, args.seconds)

    trials = [against(arrangement, 1).ratio for arrangement in tried]
    best = tried[trials.index(min(trials))]
    return dataclasses.replace(row, others=against(best, args.pairs), best=best)


def report(results: list[Result], args: argparse.Namespace) -> dict[str, Any]:
    return {
        "machine": machine("cpu"),
        "versions": versions(),
        "seconds": args.seconds,
        "pairs": args.pairs,
        "settings": args.settings,
        "results": [dataclasses.asdict(result) for result in results],
    }


def say(what: str) -> None:
    """Progress: an hour of silence would look like a fault."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
