"""How much memory updates hold, by the size of the batch, and whether it grows."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import torch

from gpu_parts.plan import Case, Found, Plan, needs, needs_warp, sized
from trpo_cli.system.machine import memory_in_use

SIZES = {
    "Humanoid": ("Humanoid-v5", 64, [32, 256, 2048], ("mujoco",)),
    "Pong": ("ALE/Pong-v5", 64, [32, 128, 512], ("ale_py", "cv2")),
}
"""Environment, how many of it, steps of each, modules that are needed."""
ITERATIONS, GROWTH = 5, 0.02
"""How many to look at, and by which share the last one's peak may be above the second one's: the
allocator rounds sizes, and the number of ended episodes varies."""


def cases(plan: Plan) -> list[Case]:
    rules = plan.pick(["ppo", "trpo"], ["ppo"])
    sizes = [Case(f"{task} {rule}", partial(by_size, task, rule))
             for task in plan.pick(list(SIZES), ["Humanoid"]) for rule in rules]  # fmt: skip
    growths = [Case(f"growth {rule}", partial(growth, rule)) for rule in rules]
    on_warp = [Case(f"growth {rule} on Warp", partial(growth_on_warp, rule)) for rule in rules]
    return [*sizes, *growths, *on_warp]


def by_size(task: str, rule: str, plan: Plan, found: Found) -> None:
    env, envs, lengths, modules = SIZES[task]
    needs(*modules)
    envs, lengths = plan.pick((envs, lengths), (2, [8]))
    found["peaks"] = peaks = {}
    for steps in lengths:
        with plan.training(*sized(rule, env, envs, steps)) as training:
            peaks[envs * steps] = peak(training, plan)
        found["line"] = ", ".join(f"{size:,}: {words(b)}" for size, b in peaks.items())


def growth(rule: str, plan: Plan, found: Found) -> None:
    """On CartPole, which takes no time to simulate."""
    grows(sized(rule, "CartPole-v1", *plan.pick((16, 128), (2, 2))), plan, found)


def growth_on_warp(rule: str, plan: Plan, found: Found) -> None:
    needs_warp(plan)
    sizes = plan.pick((4096, 16), (4, 2))
    grows([*sized(rule, "Humanoid-v5", *sizes), "env.backend=warp"], plan, found)


def grows(settings: list[str], plan: Plan, found: Found) -> None:
    found["peaks"] = peaks = []
    with plan.training(*settings) as training:
        for _ in range(ITERATIONS):
            peaks.append(peak(training, plan))
        if plan.device == "cuda":  # of all libraries: Warp allocates for itself
            free, there = torch.cuda.mem_get_info()
            found["in_use"] = there - free
    found["line"] = f"{words(peaks[1])} in the second iteration, {words(peaks[-1])} in the last"
    if peaks[-1] > peaks[1] * (1.0 + GROWTH) and not plan.dry:
        found["wrong"] = "it grows"


def peak(training: Any, plan: Plan) -> int:
    """Bytes that an iteration holds on the GPU at most; in a dry run what the process holds."""
    if plan.device != "cuda":
        training.iterate()
        return memory_in_use() or 0
    gc.collect()  # of earlier trainings
    torch.cuda.reset_peak_memory_stats()
    training.iterate()
    return int(torch.cuda.max_memory_allocated())


def words(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
