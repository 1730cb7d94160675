"""How the time of an iteration grows with environments, batch, network and cores.

    python scripts/costs.py                      # HalfCheetah-v4, trpo and ppo, about four minutes
    python scripts/costs.py --env Ant-v4 --seconds 5

Each line is measured in a process of its own, with default settings but those of the line. The
table is the one in docs/architecture.md: milliseconds per 1,024 environment steps, by phase.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

from benchmark import ours
from benchmark.worker import Lap, Worker
from trpo_cli.system.machine import machine, usable_cores

VARIATIONS: list[tuple[str, list[str]]] = [
    ("defaults: 16 environments, 128 steps, 64-64", []),
    ("4 environments, 512 steps", ["sampler.num_envs=4", "sampler.steps_per_env=512"]),
    ("64 environments, 32 steps", ["sampler.num_envs=64", "sampler.steps_per_env=32"]),
    ("batch 512: 32 steps", ["sampler.steps_per_env=32"]),
    ("batch 8,192: 512 steps", ["sampler.steps_per_env=512"]),
    ("linear policy", ["policy=linear"]),
    ("policy 256-256", ["policy.hidden_sizes=[256,256]"]),
    ("policy 1024-1024", ["policy.hidden_sizes=[1024,1024]"]),
]
COLUMNS = ("collect", "estimate", "update", "value", "other")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="HalfCheetah-v4")
    parser.add_argument("--algos", nargs="+", default=["trpo", "ppo"])
    parser.add_argument("--cores", nargs="+", type=int, default=sorted({1, usable_cores()}))
    parser.add_argument("--seconds", type=float, default=2.0, help="of a measurement, of three")
    given = parser.parse_args()
    print(given.env, machine("cpu"))
    for algo in given.algos:
        print(f"\n| {algo} | cores | steps/s | physics | {' | '.join(COLUMNS)} |")
        print("|---" * (4 + len(COLUMNS)) + "|")
        for name, settings in VARIATIONS:
            for cores in given.cores:
                print(line(name, given.env, algo, settings, cores, given.seconds), flush=True)
    return 0


def line(name: str, env: str, algo: str, settings: list[str], cores: int, seconds: float) -> str:
    """The median of three measurements by its rate."""
    with Worker(ours.training, cores, env=env, algo=algo, settings=settings) as worker:
        laps = [worker.measure(seconds) for _ in range(3)]
    middle = median(lap.rate for lap in laps)
    lap: Lap = next(lap for lap in laps if lap.rate == middle)
    spent = [1024e3 * lap.phases.get(p, 0.0) / lap.steps for p in (ours.SAME_PHYSICS, *COLUMNS)]
    return f"| {name} | {cores} | {lap.rate:,.0f} | {' | '.join(f'{ms:.1f}' for ms in spent)} |"


if __name__ == "__main__":
    sys.exit(main())
