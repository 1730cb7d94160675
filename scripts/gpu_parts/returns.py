"""What is learned on MuJoCo Warp in a given time."""

from __future__ import annotations

from functools import partial

from gpu_parts.plan import Case, Found, Plan, needs_warp

SECONDS = 45.0
"""Of each run, from the end of its first iteration on, which compiles and records."""
EVERY = 0.5
"""Seconds between rows that are kept."""
TASKS = ("HalfCheetah-v5", "Ant-v5", "Humanoid-v5")
RULES = ("ppo", "trpo")
TINY = [
    "sampler.num_envs=4", "sampler.steps_per_env=4", "algo.minibatch_size=8",
    "value.minibatch_size=8",
]  # fmt: skip


def cases(plan: Plan) -> list[Case]:
    pairs = [(env, rule) for env in TASKS for rule in RULES][: plan.pick(None, 1)]
    return [Case(f"{env} {rule}", partial(run, env, rule, len(pairs) - k))
            for k, (env, rule) in enumerate(pairs)]  # fmt: skip


def settings_of(env: str, rule: str) -> list[str]:
    """Those of the experiment, without an end."""
    return [f"+experiment=warp_{rule}", f"env={env}", "total_steps=1000000000"]


def run(env: str, rule: str, behind: int, plan: Plan, found: Found) -> None:
    """behind: how many cases there are from this one on, among which the time is divided."""
    needs_warp(plan)
    settings = [*settings_of(env, rule), *plan.pick([], TINY)]
    end = plan.limited(plan.left / behind)
    found["settings"], found["rows"] = settings, []
    with plan.training(*settings) as training:
        row = training.iterate()
        began = row["seconds"]
        found["first_iteration"], found["rows"] = began, [[began, row["step"], None]]
        while row["seconds"] - began < SECONDS and end.left > 0.0:
            row = training.iterate()
            if row["seconds"] - found["rows"][-1][0] >= EVERY:
                found["rows"].append([row["seconds"], row["step"], row["train/return_recent"]])
            if plan.dry:
                break
    learned, seconds = row["train/return_recent"], row["seconds"] - began
    found["rows"].append([row["seconds"], row["step"], learned])
    words = "no episode ended" if learned is None else f"{learned:,.0f}"
    found["line"] = f"{words} after {row['step']:,} steps, {seconds:.1f} s"
