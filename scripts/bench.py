"""Steps per second: the physics alone, our update rules, other libraries; all in one run.

    python scripts/bench.py                                  # everything, about 15 minutes
    python scripts/bench.py --envs Hopper-v4 --no-others     # one environment, ours only

Every figure is measured in a process of its own, one after the other, with default settings:

ceiling   `mujoco.batch` stepping 16 simulations on all cores with random actions, nothing else;
          measured before and after the rest, the mean counts
ours      whole iterations (collect, estimate, update, value), the first two left out
others    stable-baselines3's PPO and sb3-contrib's TRPO with their defaults, 2,048 steps per
          update from 1, 8 or 16 environments, on 1 torch thread and on all: the best of the six

An environment step is one control step (4 or 5 physics steps), as `env.step` takes it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ENVS = ["Hopper-v4", "HalfCheetah-v4", "Walker2d-v4", "Ant-v4", "Humanoid-v4"]
ALGOS = ["vpg", "npg", "trpo", "ppo"]
PHASES = ["collect", "estimate", "update", "value", "other"]


def main() -> int:
    args = parse()
    if args.measure:
        print(json.dumps(globals()[f"measure_{args.measure}"](**json.loads(args.arguments))))
        return 0
    report: dict[str, Any] = {"cores": CORES, "seconds_each": args.seconds, "envs": {}}
    for env in args.envs:
        result: dict[str, Any] = {}
        report["envs"][env] = result
        ceilings = [measure("ceiling", env=env, seconds=args.seconds)["rate"]]
        result["ours"] = {
            algo: measure("ours", env=env, algo=algo, seconds=args.seconds) for algo in args.algos
        }
        if args.others and env in args.others_envs:
            result["others"] = best_of_others(env, args.seconds)
        ceilings.append(measure("ceiling", env=env, seconds=args.seconds)["rate"])
        result["ceilings"], result["ceiling"] = ceilings, sum(ceilings) / 2
        print(table(env, result), flush=True)
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--envs", nargs="+", default=ENVS)
    parser.add_argument("--algos", nargs="+", default=ALGOS)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each measurement")
    parser.add_argument("--no-others", dest="others", action="store_false")
    parser.add_argument("--others-envs", nargs="+", default=ENVS[:3])
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", default="{}", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(what: str, **arguments: Any) -> dict[str, Any]:
    """Run one measurement in a process of its own; {"error": ...} when it cannot be made."""
    small = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    if arguments.get("torch_threads"):
        small = {name: str(arguments["torch_threads"]) for name in small}
    command = [sys.executable, __file__, "--measure", what, "--arguments", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **small})
    if done.returncode:
        return {"rate": float("nan"), "error": done.stderr.strip().splitlines()[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def measure_ceiling(env: str, seconds: float, sims: int = 16) -> dict[str, Any]:
    """Control steps per second of the physics alone, on all cores."""
    import gymnasium
    import numpy as np
    from mujoco.batch import Batch

    task: Any = gymnasium.make(env).unwrapped
    batch = Batch(task.model, sims, CORES)
    generator = np.random.default_rng(0)
    low, high = task.action_space.low, task.action_space.high
    controls = generator.uniform(low, high, (256, sims, len(low)))
    batch.reset(stage=0)
    start, ctrl = batch.state.copy(), batch.bind("ctrl")
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for k, control in enumerate(controls):
            if k % 32 == 0:  # a random policy's episodes are about that short
                batch.state[:] = start
            ctrl[:] = control
            batch.step(None, task.frame_skip)
        steps += len(controls) * sims
    return {"rate": steps / (time.perf_counter() - began)}


def measure_ours(env: str, algo: str, seconds: float) -> dict[str, Any]:
    """Our steps per second with default settings, and milliseconds per 1,024 steps by phase."""
    from trpo_cli.command.compose import config_of
    from trpo_cli.training import Training

    training = Training(config_of(f"algo={algo}", f"env={env}", "seed=0"))
    for _ in range(2):
        training.iterate()
    rows, before, began = [], training.step, time.perf_counter()
    while time.perf_counter() - began < seconds:
        rows.append(training.iterate())
    elapsed, steps = time.perf_counter() - began, training.step - before
    phases = {p: 1024e3 * sum(row[f"time/{p}"] for row in rows) / steps for p in PHASES}
    return {"rate": steps / elapsed, "milliseconds": phases}


def measure_others(
    env: str, algo: str, seconds: float, num_envs: int, torch_threads: int
) -> dict[str, Any]:
    """Steps per second of stable-baselines3 (PPO) or sb3-contrib (TRPO)."""
    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    rule: Any
    if algo == "ppo":
        import stable_baselines3

        rule = stable_baselines3.PPO
    else:
        import sb3_contrib

        rule = sb3_contrib.TRPO
    torch.set_num_threads(torch_threads)

    class Stop(BaseCallback):
        """Stops after some seconds, the first two updates left out."""

        rollouts, began, first, last, steps = 0, 0.0, 0, 0.0, 0

        def _on_step(self) -> bool:
            return not self.began or self.last - self.began < seconds

        def _on_rollout_start(self) -> None:
            self.rollouts += 1
            self.last, self.steps = time.perf_counter(), self.num_timesteps
            if self.rollouts == 3:
                self.began, self.first = self.last, self.steps

    stop = Stop()
    model = rule("MlpPolicy", make_vec_env(env, num_envs), n_steps=2048 // num_envs, device="cpu")
    model.learn(10**9, callback=stop)
    return {"rate": (stop.steps - stop.first) / (stop.last - stop.began)}


def best_of_others(env: str, seconds: float) -> dict[str, Any]:
    best = {}
    for algo in ("ppo", "trpo"):
        tried = [
            {
                **measure(
                    "others", env=env, algo=algo, seconds=seconds, num_envs=n, torch_threads=threads
                ),
                "num_envs": n,
                "torch_threads": threads,
            }
            for n in (1, 8, 16)
            for threads in sorted({1, CORES})
        ]
        working = [result for result in tried if "error" not in result]
        winner = max(working, key=lambda result: result["rate"]) if working else tried[0]
        best[algo] = {**winner, "tried": tried}
    return best


def table(env: str, result: dict[str, Any]) -> str:
    """One environment's figures in Markdown."""
    ceiling, others = result["ceiling"], result.get("others", {})
    spread = ", ".join(f"{rate:,.0f}" for rate in result["ceilings"])
    lines = [
        f"\n{env}: physics ceiling {ceiling:,.0f} steps/s ({spread})\n",
        "| | steps/s | of ceiling | against others' best | " + " | ".join(PHASES) + " |",
        "|---|---|---|---|" + "---|" * len(PHASES),
    ]
    for algo, ours in result["ours"].items():
        if "error" in ours:
            lines.append(f"| {algo} | failed: {ours['error']} |")
            continue
        other = others.get(algo, {"rate": float("nan")})
        ratio = f"{ours['rate'] / other['rate']:.1f}x of {other['rate']:,.0f}"
        against = ratio if algo in others and "error" not in other else other.get("error", "")
        phases = " | ".join(f"{ours['milliseconds'][p]:.1f}" for p in PHASES)
        lines.append(
            f"| {algo} | {ours['rate']:,.0f} | {ours['rate'] / ceiling:.2f} | {against} | "
            f"{phases} |"
        )
    lines.append("\nPhases in milliseconds per 1,024 steps.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
