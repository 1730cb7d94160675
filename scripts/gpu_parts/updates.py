"""Updates and fits of a batch that lies on the GPU: milliseconds, and what a graph is good for.

The batch is drawn at random, of the size that thousands of environments give. The same updates are
made with minibatch steps captured in a CUDA graph and launched one by one, in the same orders: the
parameters afterwards are compared, too.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from gpu_parts.correct import relative
from gpu_parts.graphs import captured
from gpu_parts.plan import Case, Found, Plan, synchronize
from trpo_cli.algos.ppo import PPOConfig
from trpo_cli.algos.trpo import TRPOConfig
from trpo_cli.data.records import Batch
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.models.values.mlp import MLPValueConfig

SHAPES = {"HalfCheetah": (17, 6), "Humanoid": (348, 17)}
"""Observations and actions."""
SAMPLES, EPOCHS, MINIBATCHES = 2**19, 4, (2**14, 2**12)
LAPS = 3
"""Timed, behind the first one, which captures."""
ALIKE = 1e-4
"""What the steps of both ways may differ by: the same kernels on the same numbers, but libraries
may choose others in a capture."""


def cases(plan: Plan) -> list[Case]:
    found = []
    for task in plan.pick(list(SHAPES), ["HalfCheetah"]):
        for size in plan.pick(MINIBATCHES, (8,)):
            found.append(Case(f"{task} ppo, minibatches of {size:,}", partial(ppo, task, size)))
        found.append(Case(f"{task} trpo", partial(trpo, task)))
    return found


def ppo(task: str, size: int, plan: Plan, found: Found) -> None:
    """Milliseconds of update and fit, captured and not, and how far apart they are."""
    moved = {}
    for way in ("captured", "eager"):
        with plan.alone(), captured(way == "captured"):
            policy, value, batch = problem(task, plan)
            start = [as_numpy(x).copy() for x in (policy.parameters, value.parameters)]
            rule = PPOConfig(epochs=EPOCHS, minibatch_size=size).build(policy)
            value._config.epochs, value._config.minibatch_size = EPOCHS, size
            found[way] = measured(rule, policy, value, batch, plan)
            both = zip((policy.parameters, value.parameters), start, strict=True)
            moved[way] = [as_numpy(x) - before for x, before in both]
    apart = [relative(*pair) for pair in zip(moved["captured"], moved["eager"], strict=True)]
    found["difference"] = {"policy": apart[0], "value": apart[1], "bound": ALIKE}
    found["line"] = "; ".join(f"{way} {words(found[way])}" for way in moved)
    found["line"] += f"; apart {apart[0]:.1e} and {apart[1]:.1e}"
    if not max(apart) <= ALIKE:
        found["wrong"] = f"more than {ALIKE:.0e}"


def trpo(task: str, plan: Plan, found: Found) -> None:
    policy, value, batch = problem(task, plan)
    found.update(measured(TRPOConfig().build(policy), policy, value, batch, plan))
    found["line"] = words(found)


def problem(task: str, plan: Plan) -> tuple[Any, Any, Batch]:
    """A fresh policy, its V and a batch, on the device."""
    features, actions = SHAPES[task]
    observed, acting = (spaces.Box(-1.0, 1.0, (n,), np.float32) for n in (features, actions))
    generator = np.random.default_rng(0)
    policy = MLPPolicyConfig().build(observed, acting, generator, plan.pick(plan.device, "cpu:0"))
    value = MLPValueConfig().build(policy, None, observed, generator)
    torch.manual_seed(0)
    device = policy.parameters.device
    count = plan.pick(SAMPLES, 20)
    inputs = torch.randn(count, features, device=device)
    distribution: Any = policy.distribution(inputs)
    noise = torch.randn(count, actions, device=device)
    advantages = torch.randn(count, device=device)
    returns = as_numpy(advantages)
    batch = Batch(
        observations=inputs,
        actions=distribution.mean + distribution.std() * noise,
        advantages=advantages,
        features=inputs,
        returns=returns,
        values=0.0 * returns,
        rewards_to_go=returns,
        targets=advantages,
    )
    return policy, value, batch


def measured(rule: Any, policy: Any, value: Any, batch: Batch, plan: Plan) -> dict[str, Any]:
    """Milliseconds of the quickest lap, of the first, and the most bytes held."""
    laps: dict[str, list[float]] = {"update": [], "fit": []}
    on_gpu = plan.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    for lap in range(plan.pick(LAPS, 1) + 1):
        generator = np.random.default_rng(lap)
        for name, work in (
            ("update", lambda g: rule.update(policy, batch, g, 1.0)),
            ("fit", lambda g: value.fit(batch.features, batch.returns, g, 1.0, batch.split)),
        ):
            synchronize(plan)
            began = time.perf_counter()
            work(generator)
            synchronize(plan)
            laps[name].append(1e3 * (time.perf_counter() - began))
    return {
        "milliseconds": {name: min(each[1:]) for name, each in laps.items()},
        "first": {name: each[0] for name, each in laps.items()},
        "peak": torch.cuda.max_memory_allocated() if on_gpu else None,
    }


def words(found: Found) -> str:
    peak = f", {found['peak'] / 2**20:,.0f} MiB" if found["peak"] else ""
    spent = ", ".join(f"{name} {ms:.1f}" for name, ms in found["milliseconds"].items())
    return f"{spent} ms{peak}"
