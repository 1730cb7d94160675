"""Train algorithm x environment x seed on all cores, one thread each; make a table and curves.

    python scripts/learn.py --out outputs/learn                       # the table of the README
    python scripts/learn.py --algos trpo --envs Hopper-v4 --seeds 0 1 --out outputs/try \\
        algo.max_kl=0.01                                              # any trpo-run setting
    python scripts/learn.py --algos trpo trpo+vine --steps 500000 --out outputs/vine   # samplers

Finished runs are kept, so the same command continues an interrupted one. Every job is one
``trpo-run`` in a directory of its own, OUT/<env>/<algo>/<seed>; its return is the final
evaluation's (``eval.jsonl``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

import yaml


def main() -> int:
    args = parse()
    jobs = [(algo, env, seed) for seed in args.seeds for env in args.envs for algo in args.algos]
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = sum(pool.map(lambda job: run(args, *job), jobs))
    print(f"{len(jobs)} jobs, {failed} failed, {time.monotonic() - started:.0f} s\n")
    table = make_table(args)
    (args.out / "table.md").write_text(table)
    print(table)
    if "trpo" in args.algos:
        print(check_trust_region(args))
    draw_curves(args)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--algos",
        nargs="+",
        default=["vpg", "npg", "trpo", "ppo"],
        help="update rules, each with +sampler for another sampler than single_path",
    )
    parser.add_argument("--envs", nargs="+", default=["Hopper-v4", "HalfCheetah-v4", "Walker2d-v4"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("outputs/learn"))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("overrides", nargs="*", help="settings for every trpo-run")
    return parser.parse_intermixed_args()


def folder(args: argparse.Namespace, algo: str, env: str, seed: int) -> Path:
    return args.out / env.replace("/", "_") / algo / str(seed)


def run(args: argparse.Namespace, algo: str, env: str, seed: int) -> bool:
    """One job, unless it is done already; True when it failed."""
    where = folder(args, algo, env, seed)
    if status(where) != "finished":
        shutil.rmtree(where, ignore_errors=True)
        rule, _, sampler = algo.partition("+")
        command = [
            *(sys.executable, "-m", "trpo_cli", f"algo={rule}", f"env={env}", f"seed={seed}"),
            f"sampler={sampler or 'single_path'}",
            *(f"total_steps={args.steps}", "threads=1", f"hydra.run.dir={where}"),
            *args.overrides,
        ]
        where.parent.mkdir(parents=True, exist_ok=True)
        with open(where.parent / f"{seed}.log", "w") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if status(where) != "finished":
        print(f"{algo:5} {env:16} seed {seed}: failed, see {where.parent / f'{seed}.log'}")
        return True
    row = rows(where / "metrics.jsonl")[-1]
    final = final_evaluation(where)
    print(
        f"{algo:5} {env:16} seed {seed}: evaluation {final['return_mean']:7.0f}, "
        f"last 100 training episodes {row['train/return_recent']:7.0f}, "
        f"{row['step'] / row['seconds']:,.0f} steps/s",
        flush=True,
    )
    return False


def status(where: Path) -> str:
    try:
        return str(json.loads((where / "manifest.json").read_text())["status"])
    except (OSError, ValueError, KeyError):
        return "none"


def final_evaluation(where: Path) -> dict:
    """The last evaluation of the last policy; lines with "checkpoint" are of another one."""
    return [row for row in rows(where / "eval.jsonl") if "checkpoint" not in row][-1]


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def make_table(args: argparse.Namespace) -> str:
    """Mean and sample standard deviation over seeds of the final evaluation's mean return."""
    lines = ["| | " + " | ".join(args.envs) + " |", "|---|" + "---|" * len(args.envs)]
    for algo in args.algos:
        cells = []
        for env in args.envs:
            finals = [
                final_evaluation(folder(args, algo, env, seed))["return_mean"]
                for seed in args.seeds
                if status(folder(args, algo, env, seed)) == "finished"
            ]
            spread = f" ± {stdev(finals):.0f}" if len(finals) > 1 else ""
            each = ", ".join(f"{value:.0f}" for value in finals)
            cells.append(f"{mean(finals):.0f}{spread} ({each})" if finals else "-")
        lines.append(f"| {algo} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def check_trust_region(args: argparse.Namespace) -> str:
    """Every accepted TRPO update of every run, its KL over the whole batch against the bound."""
    accepted, rejected, largest = 0, 0, 0.0
    for env in args.envs:
        for seed in args.seeds:
            where = folder(args, "trpo", env, seed)
            if status(where) != "finished":
                continue
            bound = yaml.safe_load((where / "config.yaml").read_text())["algo"]["max_kl"]
            for row in rows(where / "metrics.jsonl"):
                if row["trust_region/accepted"]:
                    accepted, largest = accepted + 1, max(largest, row["policy/kl"] / bound)
                else:
                    rejected += 1
    return (
        f"TRPO: {accepted} accepted updates, largest policy/kl {largest:.4f} of max_kl; "
        f"{rejected} rejected\n"
    )


def draw_curves(args: argparse.Namespace) -> None:
    """Training return against steps: a line per seed, the mean in bold."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(
        1, len(args.envs), figsize=(4.5 * len(args.envs), 3.6), squeeze=False, sharex=True
    )
    grid = np.linspace(0, args.steps, 101)[1:]
    for axis, env in zip(axes[0], args.envs, strict=True):
        for index, algo in enumerate(args.algos):
            curves = []
            for seed in args.seeds:
                where = folder(args, algo, env, seed)
                if status(where) != "finished":
                    continue
                points = [
                    (row["step"], row["train/return_recent"])
                    for row in rows(where / "metrics.jsonl")
                    if row["train/return_recent"] is not None
                ]
                steps, returns = np.array(points).T
                curves.append(np.interp(grid, steps, returns))
                axis.plot(grid / 1e6, curves[-1], color=f"C{index}", alpha=0.3, linewidth=0.8)
            if curves:
                axis.plot(grid / 1e6, np.mean(curves, axis=0), color=f"C{index}", label=algo)
        axis.set_title(env)
        axis.set_xlabel("million steps")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("mean return of the last 100 training episodes")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(args.out / "curves.png", dpi=130)


if __name__ == "__main__":
    sys.exit(main())
