"""Whether it learns on the device."""

from __future__ import annotations

from functools import partial
from statistics import fmean

from gpu_parts.plan import Case, Found, Plan, needs

GOAL, EPISODES, STEPS = 450.0, 10, 60_000
"""The mean return of so many episodes in a row that CartPole has to reach, and within which steps.
On a CPU seeds 1 to 3 took 18,432 to 32,768 of them with the default settings of ppo and trpo."""
PONG = ["algo=ppo", "env=ALE/Pong-v5", "value=shared", "sampler.num_envs=64", "total_steps=1000000"]


def cases(plan: Plan) -> list[Case]:
    rules = [Case(f"CartPole {rule}", partial(cart_pole, rule)) for rule in ("ppo", "trpo")]
    return [*rules, Case("Pong ppo", pong)]


def cart_pole(rule: str, plan: Plan, found: Found) -> None:
    most, tiny = plan.pick(STEPS, 256), plan.pick([], ["sampler.steps_per_env=8"])
    found["curve"] = curve = []
    settings = [f"algo={rule}", "env=CartPole-v1", f"total_steps={STEPS}", *tiny]
    with plan.training(*settings) as training:
        best = 0.0
        while training.step < most and best < GOAL and plan.left > 0.0:
            row = training.iterate()
            curve.append([row["step"], row["train/return_recent"], row["seconds"]])
            if len(training.recent) >= EPISODES:
                best = max(best, fmean(list(training.recent)[-EPISODES:]))
            found["line"] = f"{best:.0f} after {training.step:,} steps, {row['seconds']:.1f} s"
        if best < GOAL and training.step >= STEPS:
            found["wrong"] = f"no {GOAL:.0f}"


def pong(plan: Plan, found: Found) -> None:
    needs("ale_py", "cv2")
    tiny = ["sampler.num_envs=2", "sampler.steps_per_env=8", "algo.minibatch_size=8"]
    found["curve"] = curve = []
    with plan.training(*PONG, *plan.pick([], tiny)) as training:
        while plan.left > 0.0:
            row = training.iterate()
            curve.append([row["step"], row["train/return_recent"], row["seconds"]])
            known = [each for _, each, _ in curve if each is not None]
            rise = f"{known[0]:.1f} to {known[-1]:.1f}" if known else "no episode ended"
            found["line"] = f"{rise} in {row['step']:,} steps, {row['seconds']:.1f} s"
            if plan.dry:
                break
