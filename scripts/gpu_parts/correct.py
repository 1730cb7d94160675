"""The device against the CPU: the same numbers up to rounding.

Differences are |x - y| / |x| of whole vectors, x the CPU's. A sum of n terms of changing sign, in
another order, differs by about sqrt(n) u, u = 2^-24, and what l layers give by l times that. What
may be is `SAFETY` times as much, and more where the quantity is a small difference of large ones
(the KL) or something amplifies (`UPDATES`).

An update is compared by the step that it makes from the same parameters on the same trajectories,
the CPU's, in minibatches of the same orders: were each to collect its own, a last digit would soon
be another episode. "on tensors": what was seen lies on the device, as the environments that live
there leave it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from gpu_parts.plan import Case, Found, Plan, needs
from trpo_cli.components import load, options
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.maths.distributions import Parameters
from trpo_cli.models import orders

UNIT = 2.0**-24
SAFETY = 4.0
KL = 0.05
"""Nats, of the step along which the KL is looked at."""
UPDATES = {
    "natural": (1e-3, "the solver multiplies by the condition of F + damping I, some hundreds"),
    "one step": (1e-2, "Adam's first step is +-1 for a gradient that is nothing but rounding, too"),
    "minibatches": (2e-2, "the same in every minibatch, and the next ones begin elsewhere"),
}
"""What a step may differ by, and why. Between numpy and torch on a CPU it was 1e-6 to 4e-4."""
TASKS = {
    "CartPole": (["env=CartPole-v1"], ["sampler.num_envs=16", "sampler.steps_per_env=128"], ()),
    "Hopper": (
        ["env=Hopper-v5"],
        ["sampler.num_envs=16", "sampler.steps_per_env=128"],
        ("mujoco",),
    ),
    "Pong": (
        ["env=ALE/Pong-v5"],
        ["sampler.num_envs=8", "sampler.steps_per_env=64"],
        ("ale_py", "cv2"),
    ),
}
"""Settings, sizes, and modules that are needed."""
TINY = ["sampler.num_envs=2", "sampler.steps_per_env=16"]
DRY: dict[str, list[str]] = {"Hopper": ["trpo"], "Pong": []}
"""The rules of a dry run, where not all."""


def cases(plan: Plan) -> list[Case]:
    found = []
    for task in TASKS:
        found.append(Case(f"{task} products", partial(products, task)))
        every = trajectory_rules()
        rules = plan.pick(every, DRY.get(task, every))
        found += [Case(f"{task} {rule}", partial(update, task, rule, False)) for rule in rules]
        if task == "Hopper":
            found += [Case(f"{task} {rule} on tensors", partial(update, task, rule, True))
                      for rule in rules]  # fmt: skip
    return found


def trajectory_rules() -> list[str]:
    """All rules that learn from trajectories."""
    kinds: dict[str, Any] = options("algo")
    return [name for name, kind in kinds.items() if "trajectories" in kind.traits.learns_from]


def settings_of(task: str, rule: str, plan: Plan) -> list[str]:
    settings, sizes, modules = TASKS[task]
    needs(*modules)
    if task == "Pong":  # on some processors the precision would be another one
        kind: Any = load("algo", rule)
        policy = load("policy", "auto").traits.choose(kind.traits, True)
        settings = [*settings, f"policy={policy}", "policy.precision=float32"]
    return [f"algo={rule}", *settings, *plan.pick(sizes, TINY)]


def products(task: str, plan: Plan, found: Found) -> None:
    """A gain of 1 in the last layer, where a fresh policy has next to no output."""
    settings = [*settings_of(task, "trpo", plan), "policy.output_gain=1"]
    with (
        plan.training_on_cpu(*settings) as here,
        plan.training(*settings) as there,
        full_precision(),
    ):
        seen = collected(here)
        asked = Asked.of(here.policy, seen)
        found["differences"], wrong = {}, []
        ours, theirs = (asked.answers(each.policy) for each in (here, there))
        bounds = asked.bounds(here.policy, len(seen.rewards.reshape(-1)))
        for name, expected in ours.items():
            difference = relative(expected, theirs[name])
            found["differences"][name] = {"found": difference, "bound": bounds[name]}
            if not difference <= bounds[name]:
                wrong.append(f"{name} {difference:.1e} > {bounds[name]:.1e}")
    found["line"] = ", ".join(f"{k} {v['found']:.1e}" for k, v in found["differences"].items())
    found["wrong"] = ", ".join(wrong)


def update(task: str, rule: str, on_tensors: bool, plan: Plan, found: Found) -> None:
    settings, steps, rows = settings_of(task, rule, plan), [], []
    with (
        same_orders(),
        plan.training_on_cpu(*settings) as here,
        plan.training(*settings) as there,
        full_precision(),
    ):
        seen = collected(here)
        for training in (here, there):
            if training is there and on_tensors:
                seen = moved(seen, there.parts.device)
            training.sampler.collect = lambda *_, its=seen: its  # type: ignore[method-assign]
            learners = (training.policy.parameters, training.value.parameters)
            before = [numpy(x).copy() for x in learners]
            rows.append(training.iterate())
            steps.append([numpy(x) - b for x, b in zip(learners, before, strict=True)])
        traits: Any = here.config.algo.traits
        kind = "minibatches" if traits.minibatches else "one step"
        kind = "natural" if rows[0].get("trust_region/curvature") is not None else kind
    bound, why = UPDATES[kind]
    policy, value = (relative(*pair) for pair in zip(*steps, strict=True))
    keys = [k for k, x in rows[0].items() if k.startswith(("policy/", "trust_", "value/"))
            and isinstance(x, float)]  # fmt: skip
    found.update(policy=policy, value=value, bound=bound, why=why)
    found["rows"] = {key: [row.get(key) for row in rows] for key in keys}
    found["line"] = f"step of the policy {policy:.1e}, of V {value:.1e}"
    if not policy <= bound or not value <= UPDATES["minibatches"][0]:
        found["wrong"] = f"more than {bound:.0e}"


def collected(training: Any) -> Any:
    generators = training.generators
    return training.sampler.collect(
        training.policy, generators["action_noise"], training.value, generators["branching"]
    )


def moved(seen: Any, device: str) -> Any:
    """Trajectories as `DeviceSampler` gives them."""
    names = ("observations", "actions", "final_observations", "last_observations")
    there = {name: torch.as_tensor(getattr(seen, name), device=device) for name in names}
    return dataclasses.replace(seen, **there)


@dataclasses.dataclass(frozen=True)
class Asked:
    """The same questions to two policies: at observations, along v (P,), pulled back from u.

    step: a multiple of v at which the KL is about `KL`.
    """

    observations: Any
    actions: np.ndarray
    v: np.ndarray
    u: Parameters
    step: np.ndarray

    @staticmethod
    def of(policy: Any, seen: Any) -> Asked:
        """Drawn at random. policy: the CPU's."""
        generator = np.random.default_rng(0)

        def draw(*shape: int) -> np.ndarray:
            return generator.standard_normal(shape).astype(np.float32)

        observations = seen.flat_observations
        actions = seen.actions.reshape(-1, seen.actions.shape[-1])
        here = policy.linearize(policy.to_device(policy.normalize(observations)))
        v = policy.to_device(draw(len(policy.parameters)))
        along = here.jvp(v)
        u = Parameters(draw(*along.outputs.shape), draw(*along.extra.shape))
        curvature = float(v @ here.fisher_product(v))
        v = as_numpy(v)
        return Asked(observations, actions, v, u, math.sqrt(2.0 * KL / curvature) * v)

    def answers(self, policy: Any) -> dict[str, np.ndarray]:
        to = policy.to_device
        inputs = to(policy.normalize(self.observations))
        here, v = policy.linearize(inputs), to(self.v)
        old = here.distribution.detach()
        found = {
            "outputs": getattr(old, dataclasses.fields(old)[0].name),
            "jvp": here.jvp(v).outputs,
            "vjp": here.vjp(Parameters(to(self.u.outputs), to(self.u.extra))),
            "fisher": here.fisher_product(v),
            "log_prob": old.log_prob(to(self.actions)),
            "entropy": old.entropy(),
        }
        found = {name: numpy(x).copy() for name, x in found.items()}
        start = as_numpy(policy.parameters).copy()
        policy.parameters[:] = to((start + self.step).astype(np.float32))
        found["kl"] = numpy(policy.distribution(inputs).kl_from(old)).copy()
        policy.parameters[:] = to(start)
        return found

    def bounds(self, policy: Any, samples: int) -> dict[str, float]:
        """By the longest sums: of a layer's inputs, and over the samples for gradients."""
        network = policy.network
        layers = network.views(policy.parameters[: network.num_parameters])
        terms = max(math.prod(weight.shape) // len(bias) for weight, bias in layers)
        forward = SAFETY * len(layers) * math.sqrt(terms) * UNIT
        back = SAFETY * 2 * len(layers) * math.sqrt(max(terms, samples)) * UNIT
        return {
            "outputs": forward,
            "jvp": 2 * forward,
            "vjp": back,
            "fisher": back + 2 * forward,
            "log_prob": 2 * forward,
            "entropy": 2 * forward,
            "kl": forward / KL,
        }


def relative(expected: np.ndarray, found: np.ndarray) -> float:
    size = float(np.linalg.norm(expected))
    distance = float(np.linalg.norm(found - expected))
    return distance / size if size else distance


def numpy(x: Any) -> np.ndarray:
    """As float64."""
    return as_numpy(x).astype(np.float64)


@contextlib.contextmanager
def same_orders() -> Iterator[None]:
    """Minibatches in the CPU's order on both."""
    before, orders.DRAW_THERE = orders.DRAW_THERE, False
    try:
        yield
    finally:
        orders.DRAW_THERE = before


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """No TF32, which has ten bits of mantissa; a training that is made inside may want it again."""
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = False
    try:
        yield
    finally:
        for place, was in zip(places, before, strict=True):
            place.allow_tf32 = was
