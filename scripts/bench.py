"""Steps per second: the physics alone, our update rules, other libraries; all in one run.

    python scripts/bench.py                                  # everything, about 15 minutes
    python scripts/bench.py --envs Hopper-v4 --no-others     # one environment, ours only
    python scripts/bench.py --envs PongNoFrameskip-v4        # an Atari game

Every figure is measured in a process of its own, one after the other, with default settings:

ceiling   `mujoco.batch` stepping 16 simulations on all cores with random actions, nothing else;
          measured before and after the rest, the mean counts
ours      whole iterations (collect, estimate, update, value), the first two left out
others    stable-baselines3's PPO and sb3-contrib's TRPO with their defaults, 2,048 steps per
          update from 1, 8 or 16 environments, on 1 torch thread and on all: the best of the six

An environment step is one control step (4 or 5 physics steps), as `env.step` takes it. Atari games
differ in three points: the ceiling is ale-py's own vector environment with 16 games on a thread
per core, random actions and 4 frames of 84 x 84; the other library is stable-baselines3's PPO with
the settings usual for Atari (8 games, 128 steps, 4 epochs of 256, Nature network), its games in
one process or in several, on 1 torch thread and on all; and an agent step is four frames.
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
PONG = "PongNoFrameskip-v4"
ENVS = ["Hopper-v4", "HalfCheetah-v4", "Walker2d-v4", "Ant-v4", "Humanoid-v4", PONG]
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
            algo: measure("ours", env=env, algo=algo, seconds=args.seconds, settings=args.settings)
            for algo in args.algos
        }
        if env in args.vine_envs:
            result["vine"] = measure("vine", env=env, seconds=args.seconds)
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
    parser.add_argument("--others-envs", nargs="+", default=[*ENVS[:3], PONG])
    parser.add_argument("--vine-envs", nargs="*", default=ENVS[:2])
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file")
    parser.add_argument("--settings", nargs="*", default=[], help="settings of ours, key=value")
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
    """Control steps per second of the physics, or of the emulator, alone, on all cores."""
    if is_atari(env):
        return atari_ceiling(env, seconds, sims)
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


def is_atari(env: str) -> bool:
    return "NoFrameskip" in env or env.startswith("ALE/")


def atari_ceiling(env: str, seconds: float, games: int) -> dict[str, Any]:
    """Agent steps per second of ale-py's vector environment."""
    import ale_py
    import gymnasium
    import numpy as np
    from ale_py.vector_env import AtariVectorEnv

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    spec = gymnasium.registry[env].kwargs
    vector = AtariVectorEnv(
        spec["game"],
        games,
        num_threads=CORES,
        repeat_action_probability=spec["repeat_action_probability"],
    )
    vector.reset(seed=0)
    generator = np.random.default_rng(0)
    space: Any = vector.single_action_space
    choices = int(space.n)
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for actions in generator.integers(choices, size=(64, games)):
            vector.step(actions)
        steps += 64 * games
    return {"rate": steps / (time.perf_counter() - began)}


def measure_ours(env: str, algo: str, seconds: float, settings: list[str]) -> dict[str, Any]:
    """Our steps per second with default settings but those given, and milliseconds per 1,024 steps
    by phase."""
    from trpo_cli.commands.hydra.compose import config_of
    from trpo_cli.training.trainer import Training

    training = Training(config_of(f"algo={algo}", f"env={env}", "seed=0", *settings))
    for _ in range(2):
        training.iterate()
    rows, before, began = [], training.step, time.perf_counter()
    while time.perf_counter() - began < seconds:
        rows.append(training.iterate())
    elapsed, steps = time.perf_counter() - began, training.step - before
    phases = {p: 1024e3 * sum(row[f"time/{p}"] for row in rows) / steps for p in PHASES}
    return {"rate": steps / elapsed, "milliseconds": phases}


def measure_vine(env: str, seconds: float) -> dict[str, Any]:
    """Steps per second of the vine's rollouts alone: 256 states, 4 actions, 50 steps."""
    from trpo_cli.commands.hydra.compose import config_of
    from trpo_cli.training.trainer import Training

    training: Any = Training(
        config_of(
            "algo=trpo", f"env={env}", "seed=0", "sampler=vine", "sampler.rollout_states=256",
            "sampler.horizon=50", "sampler.bootstrap=false",
        )
    )  # fmt: skip
    sampler, spent, steps = training.sampler, 0.0, 0
    estimate = sampler.estimate

    def timed(*arguments: Any) -> Any:
        nonlocal spent, steps
        began = time.perf_counter()
        found = estimate(*arguments)
        spent, steps = spent + time.perf_counter() - began, steps + found.steps
        return found

    training.iterate()
    sampler.estimate = timed
    while spent < seconds:
        training.iterate()
    return {"rate": steps / spent}


def measure_others(
    env: str, algo: str, seconds: float, num_envs: int, torch_threads: int
) -> dict[str, Any]:
    """Steps per second of stable-baselines3 (PPO) or sb3-contrib (TRPO)."""
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    rule: Any
    if algo == "ppo":
        import stable_baselines3

        rule = stable_baselines3.PPO
    else:
        import sb3_contrib

        rule = sb3_contrib.TRPO
    torch.set_num_threads(torch_threads)

    model = rule("MlpPolicy", make_vec_env(env, num_envs), n_steps=2048 // num_envs, device="cpu")
    return rate_of(model, seconds)


def rate_of(model: Any, seconds: float) -> dict[str, Any]:
    """Steps per second of a stable-baselines3 model's training, the first two updates left out."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Stop(BaseCallback):
        """Stops after some seconds."""

        rollouts, began, first, last, steps = 0, 0.0, 0, 0.0, 0

        def _on_step(self) -> bool:
            return not self.began or self.last - self.began < seconds

        def _on_rollout_start(self) -> None:
            self.rollouts += 1
            self.last, self.steps = time.perf_counter(), self.num_timesteps
            if self.rollouts == 3:
                self.began, self.first = self.last, self.steps

    stop = Stop()
    model.learn(10**9, callback=stop)
    return {"rate": (stop.steps - stop.first) / (stop.last - stop.began)}


def measure_atari_others(
    env: str, seconds: float, processes: bool, torch_threads: int
) -> dict[str, Any]:
    """Steps per second of stable-baselines3's PPO on a game, as its model zoo runs it."""
    import ale_py  # noqa: F401  (registers the games)
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    torch.set_num_threads(torch_threads)
    kind: Any = SubprocVecEnv if processes else DummyVecEnv
    games = VecFrameStack(make_atari_env(env, 8, seed=0, vec_env_cls=kind), 4)
    model = PPO(
        "CnnPolicy",
        games,
        n_steps=128,
        n_epochs=4,
        batch_size=256,
        learning_rate=2.5e-4,
        clip_range=0.1,
        ent_coef=0.01,
        device="cpu",
    )
    return rate_of(model, seconds)


def best_of_others(env: str, seconds: float) -> dict[str, Any]:
    if is_atari(env):
        tried = [
            {
                **measure("atari_others", env=env, seconds=seconds, **settings),
                **settings,
            }
            for settings in (
                {"processes": processes, "torch_threads": threads}
                for processes in (False, True)
                for threads in sorted({1, CORES})
            )
        ]
        return {"ppo": {**winner(tried), "tried": tried}}
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
        best[algo] = {**winner(tried), "tried": tried}
    return best


def winner(tried: list[dict[str, Any]]) -> dict[str, Any]:
    """The fastest, or the first one's error when none worked."""
    working = [result for result in tried if "error" not in result]
    return max(working, key=lambda result: result["rate"]) if working else tried[0]


def table(env: str, result: dict[str, Any]) -> str:
    """One environment's figures in Markdown."""
    ceiling, others = result["ceiling"], result.get("others", {})
    spread = ", ".join(f"{rate:,.0f}" for rate in result["ceilings"])
    what = "emulator" if is_atari(env) else "physics"
    lines = [
        f"\n{env}: {what} ceiling {ceiling:,.0f} steps/s ({spread})\n",
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
    if "vine" in result:
        rate = result["vine"]["rate"]
        lines.append(f"Vine rollouts: {rate:,.0f} steps/s, {rate / ceiling:.2f} of the ceiling.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
