"""Steps per second of whole iterations, by phase, and of the emulator alone.

On MuJoCo Warp with so many environments, with and without CUDA graphs; on the same machine's cores
by the native backend; Atari games with the networks on either.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from benchmark import ceilings
from gpu_parts.plan import (
    TASKS,
    Case,
    Found,
    Plan,
    needs,
    needs_warp,
    sized,
    synchronize,
)
from trpo_cli.system.machine import usable_cores

SECONDS = 2.0
"""Of a measurement, after the iterations that warm up."""
WARM_UP = 2
RULES = ("ppo", "trpo")
ON_WARP = (4096, 16384, 1024, 32768)
"""Environments."""
LARGE = ("HalfCheetah-v5", "Hopper-v5")
"""Tasks that are also measured in the environments below, with fewer passes and larger steps."""
LARGE_SIZES = (16384, 32768)
FEW = [
    "algo.epochs=4", "algo.minibatch_size=32768", "value.epochs=4", "value.minibatch_size=32768",
]  # fmt: skip
WARP_STEPS = 16
WITHOUT_GRAPHS = ("HalfCheetah-v5", "Humanoid-v5")
"""Tasks that are also measured so, with the first number of environments."""
GAMES = ("ALE/Pong-v5", "ALE/Breakout-v5")
PER_CORE, STEPS = 4, 128
"""Environments of each core, so that a long episode's end is waited for by few, and their steps."""
EMULATORS = 64
"""Games; each core has some in a process of its own."""
TINY = ["sampler.num_envs=2", "sampler.steps_per_env=8"]


def cases(plan: Plan) -> list[Case]:
    """What matters most comes first: time may be over before the end."""
    found = [
        Case(f"{task} {rule} on the CPU", partial(physics, task, rule))
        for task in plan.pick(TASKS, TASKS[:1])
        for rule in RULES
    ]
    first, *others = plan.pick(ON_WARP, (4,))
    found += on_warp(plan, first)
    for task in plan.pick(LARGE, ()):
        for envs in LARGE_SIZES:
            run = partial(warp, task, "ppo", envs, True, more=FEW)
            found.append(Case(f"{task} ppo on {envs:,} Warp, 4 epochs", run))
    for task in plan.pick(WITHOUT_GRAPHS, TASKS[:1]):
        for rule in RULES:
            run = partial(warp, task, rule, first, False)
            found.append(Case(f"{task} {rule} on {first:,} Warp, no graphs", run))
    for game in plan.pick(GAMES, GAMES[:1]):
        found.append(Case(f"{game} random actions", partial(ceiling, game)))
        for rule in plan.pick(RULES, RULES[:1]):
            for where in plan.pick(("GPU", "CPU"), ("GPU",)):
                run = partial(emulator, game, rule, where == "GPU")
                found.append(Case(f"{game} {rule} on the {where}", run))
    for envs in others:
        found += on_warp(plan, envs)
    return [Case(case.name, partial(timed, case, len(found) - k)) for k, case in enumerate(found)]


def on_warp(plan: Plan, envs: int) -> list[Case]:
    return [
        Case(f"{task} {rule} on {envs:,} Warp", partial(warp, task, rule, envs, True))
        for task in plan.pick(TASKS, TASKS[:1])
        for rule in RULES
    ]


def timed(case: Case, behind: int, plan: Plan, found: Found) -> None:
    """behind: how many cases there are from this one on, among which the time is divided."""
    found["asked_seconds"] = plan.seconds(SECONDS, behind)
    case.run(plan, found)


def physics(task: str, rule: str, plan: Plan, found: Found) -> None:
    """The native backend on all cores, with the networks on the CPU."""
    needs("mujoco")
    envs, steps = plan.pick((PER_CORE * usable_cores(), STEPS), (2, 8))
    with plan.training_on_cpu(*sized(rule, task, envs, steps)) as training:
        measure(training, plan, found)


def warp(
    task: str,
    rule: str,
    envs: int,
    with_graphs: bool,
    plan: Plan,
    found: Found,
    more: Sequence[str] = (),
) -> None:
    needs_warp(plan)
    from gpu_parts.graphs import without_graphs

    settings = [*sized(rule, task, envs, plan.pick(WARP_STEPS, 4)), *more, "env.backend=warp"]
    with nullcontext() if with_graphs else without_graphs(), plan.training(*settings) as training:
        measure(training, plan, found)


def emulator(game: str, rule: str, on_device: bool, plan: Plan, found: Found) -> None:
    needs("ale_py", "cv2")
    settings = [f"algo={rule}", f"env={game}", *plan.pick([f"sampler.num_envs={EMULATORS}"], TINY)]
    with plan.training(*settings) if on_device else plan.training_on_cpu(*settings) as training:
        measure(training, plan, found)


def ceiling(game: str, plan: Plan, found: Found) -> None:
    """ale-py's own vector environment, see `benchmark.ceilings`."""
    needs("ale_py")
    work = ceilings.atari(game)
    steps, seconds = 0, 0.0
    while seconds <= found["asked_seconds"]:
        lap = work()
        steps, seconds = steps + lap.steps, seconds + lap.seconds
    found.update(steps=steps, seconds=seconds, steps_per_second=steps / seconds)
    found["line"] = f"{steps / seconds:,.0f} steps/s"


def measure(training: Any, plan: Plan, found: Found) -> None:
    """Iterations for as long as asked. milliseconds: of an iteration, by phase."""
    began = time.perf_counter()
    for _ in range(plan.pick(WARM_UP, 1)):
        training.iterate()
    synchronize(plan)
    found["warm_up_seconds"] = time.perf_counter() - began
    first, number, began = training.step, 0, time.perf_counter()
    phases: Counter[str] = Counter()
    while not number or time.perf_counter() - began < found["asked_seconds"]:
        row = training.iterate()
        number += 1
        for key, seconds in row.items():
            if key.startswith("time/"):
                phases[key.removeprefix("time/")] += seconds
    synchronize(plan)
    seconds, steps = time.perf_counter() - began, training.step - first
    each = {phase: 1e3 * spent / number for phase, spent in phases.items()}
    found.update(iterations=number, steps=steps, seconds=seconds, milliseconds=each)
    found["steps_per_second"] = steps / seconds
    spent = ", ".join(f"{phase} {ms:.1f}" for phase, ms in each.items())
    found["line"] = f"{steps / seconds:,.0f} steps/s; ms of {steps // number:,} steps: {spent}"
