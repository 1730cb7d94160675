"""How long it takes until MuJoCo Warp runs for the first time.

Its kernels are compiled for each task, and kept in a folder: later trainings, here and elsewhere,
find them. This comes before whatever has little time.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise

from gpu_parts.plan import TASKS, Case, Found, Plan, needs_warp, sized, synchronize


def cases(plan: Plan) -> list[Case]:
    return [Case(task, partial(first, task)) for task in plan.pick(TASKS, TASKS[:1])]


def first(task: str, plan: Plan, found: Found) -> None:
    """Seconds until a training is made, of its first iteration and of its second one."""
    needs_warp(plan)
    settings = [*sized("ppo", task, *plan.pick((64, 16), (4, 4))), "env.backend=warp"]
    seconds = [time.perf_counter()]
    with plan.training(*settings) as its:
        seconds.append(time.perf_counter())
        for _ in range(2):
            its.iterate()
            synchronize(plan)
            seconds.append(time.perf_counter())
    made, one, two = (b - a for a, b in pairwise(seconds))
    found.update(made=made, first_iteration=one, second_iteration=two)
    found["line"] = f"made in {made:.1f} s, iterations: {one:.1f} s, {two:.2f} s"
