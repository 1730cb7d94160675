"""How much memory updates hold, by the size of the batch, and whether it grows."""

from __future__ import annotations

from functools import partial
from typing import Any

from gpu_parts.plan import Case, Found, Plan, needs
from trpo_cli.system.machine import memory_in_use

MINIBATCHES = 32
"""Of a batch, so that the time of an update does not grow as its square."""
SIZES = {
    "Humanoid": (["env=Humanoid-v5"], 64, [32, 256, 2048], ("mujoco",)),
    "Pong": (["env=ALE/Pong-v5"], 64, [32, 128, 512], ("ale_py", "cv2")),
}
"""Settings, environments, steps of each, modules that are needed."""
ITERATIONS, GROWTH = 5, 0.02
"""How many to look at, and by which share the last one's peak may be above the second one's: the
allocator rounds sizes, and the number of ended episodes varies."""


def cases(plan: Plan) -> list[Case]:
    rules = plan.pick(["ppo", "trpo"], ["ppo"])
    sizes = [Case(f"{task} {rule}", partial(by_size, task, rule))
             for task in plan.pick(list(SIZES), ["Humanoid"]) for rule in rules]  # fmt: skip
    return [*sizes, *[Case(f"growth {rule}", partial(growth, rule)) for rule in rules]]


def by_size(task: str, rule: str, plan: Plan, found: Found) -> None:
    settings, envs, lengths, modules = SIZES[task]
    needs(*modules)
    envs, lengths = plan.pick((envs, lengths), (2, [8]))
    found["peaks"] = peaks = {}
    for steps in lengths:
        with plan.training(*sized(rule, envs, steps), *settings) as training:
            peaks[envs * steps] = peak(training, plan)
        found["line"] = ", ".join(f"{size:,}: {words(b)}" for size, b in peaks.items())


def growth(rule: str, plan: Plan, found: Found) -> None:
    """On CartPole, which takes no time to simulate."""
    found["peaks"] = peaks = []
    steps = plan.pick(128, 2)
    with plan.training(*sized(rule, 16, steps), "env=CartPole-v1") as training:
        for _ in range(ITERATIONS):
            peaks.append(peak(training, plan))
    found["line"] = f"{words(peaks[1])} in the second iteration, {words(peaks[-1])} in the last"
    if peaks[-1] > peaks[1] * (1.0 + GROWTH) and not plan.dry:
        found["wrong"] = "it grows"


def sized(rule: str, envs: int, steps: int) -> list[str]:
    minibatch = max(1, envs * steps // MINIBATCHES)
    own = [f"algo.minibatch_size={minibatch}", "algo.epochs=2"] if rule == "ppo" else []
    sizes = [f"sampler.num_envs={envs}", f"sampler.steps_per_env={steps}"]
    return [f"algo={rule}", *sizes, *own]


def peak(training: Any, plan: Plan) -> int:
    """Bytes that an iteration holds on the GPU at most; in a dry run what the process holds."""
    if plan.device != "cuda":
        training.iterate()
        return memory_in_use() or 0
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    training.iterate()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def words(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
