"""The natural direction x = F^-1 g, shared by NPG and TRPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.compiled_solution import can_compile, compiled_solution
from trpo_cli.data.records import Batch
from trpo_cli.errors import UserError
from trpo_cli.maths.arrays import Array, copy
from trpo_cli.maths.conjugate_gradient import conjugate_gradient
from trpo_cli.maths.line_search import LineSearchResult

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


FISHER = (
    "the Fisher matrix: kl_hessian, of the mean KL, over states; empirical, the mean of "
    "grad log pi grad log pi' over the sampled actions"
)
"""Help of the setting `fisher`."""
LOG_STD_STEP = "part of its step that a shared log std takes"
"""Help of the setting `log_std_step`."""


@dataclass(frozen=True)
class NaturalDirection:
    """direction: x ~ F^-1 g, (P,); curvature: x'Fx, damping included; reason: empty, or why there
    is no step."""

    direction: Array
    curvature: float
    reason: str
    metrics: Metrics


def natural_direction(
    policy: Policy, batch: Batch, gradient: Array, config: Any, generator: np.random.Generator
) -> NaturalDirection:
    """Solve (F + damping I) x = g by conjugate gradients, F from `fisher_fraction` of the states,
    or of the whole sequences of a policy that remembers.

    kl_hessian: F is the Hessian of mean KL(old || new) at theta_old, in its exact Gauss-Newton form
    J'MJ (the Hessian of the KL at equal distributions has no other term). empirical: F is the mean
    of grad log pi grad log pi' over the sampled actions. Their expectations over actions are equal;
    the first takes it in closed form. The curvature along x counts the damping too: where F has all
    but vanished (a nearly deterministic policy), x'Fx alone would allow any step.
    """
    observations, actions, split = batch.observations, batch.actions, batch.split
    if config.fisher_fraction < 1.0:
        together = batch.together
        there = together.count(batch.size) if together else batch.size
        count = max(1, round(there * config.fisher_fraction))
        chosen = np.sort(generator.choice(there, count, replace=False))
        if together:
            chosen = np.sort(together.members(chosen))
        rows, split = batch.split.part(chosen)
        observations, actions = observations[rows], actions[rows]
    empirical = config.fisher == "empirical"
    if not empirical and can_compile(policy, gradient, batch):
        solution, curvature = compiled_solution(policy, observations, gradient, config)
        x = solution.x
    else:
        here = policy.linearize(observations)
        fisher = here.empirical_fisher(actions) if empirical else here.fisher_product

        def damped(v: Array) -> Array:
            return split.average(fisher(v)) + config.damping * v

        solution = conjugate_gradient(damped, gradient, config.cg_iterations, config.cg_tolerance)
        x = solution.x
        curvature = float(x @ damped(x))
    x, curvature = shortened(policy, x, curvature, config)
    reason = solution.reason if not float(abs(x).max()) > 0.0 else ""
    if not reason and not 0.0 < curvature < float("inf"):
        reason = "curvature is not positive"
    return NaturalDirection(
        x,
        curvature,
        reason,
        {
            "trust_region/cg_residual": solution.residual,
            "trust_region/cg_iterations": solution.iterations,
            "trust_region/curvature": curvature,
        },
    )


def check_log_std_step(config: Any) -> None:
    """Raise `UserError` where `log_std_step` would shorten nothing, or what it must not."""
    rule = config.algo
    if rule.log_std_step == 1.0:
        return
    said = f"algo.log_std_step={rule.log_std_step:g}"
    if rule.fisher == "empirical":
        raise UserError(
            f"{said} goes with algo.fisher=kl_hessian, in which the deviation is a block of its "
            "own; the empirical matrix has none. Leave one of the two out."
        )
    given = getattr(config.policy, "given", {})  # of a choice that is still open
    if given.get("log_std", getattr(config.policy, "log_std", "shared")) == "state":
        raise UserError(
            f"{said} is for a deviation that all states share, and policy.log_std=state has none. "
            "Leave one of the two out."
        )


def shortened(policy: Policy, x: Array, curvature: float, config: Any) -> tuple[Array, float]:
    """The direction, and x'Fx, in a metric that counts a shared log standard deviation 1 / c times.

    F has two blocks, of the network that gives the mean and of log sigma, where it is 2 I (plus
    damping). With c = `log_std_step` and F_c = diag(F_mean, F_sigma / c),

        F_c^-1 g = (x_mean, c x_sigma),    its curvature = x'Fx - (1 - c) (2 + damping) |x_sigma|^2

    so that half the curvature bounds the KL from above, to second order. A deviation that takes its
    whole step may fall before the mean has found its way. Abdolmaleki et al. 2018 (MPO, 1806.06920)
    bound the KL of the deviation by itself, and far tighter.
    """
    size = policy.network.num_parameters
    part = x[size:]
    if config.log_std_step == 1.0 or not len(part):
        return x, curvature
    loss = (1.0 - config.log_std_step) * (2.0 + config.damping) * float(part @ part)
    shorter = copy(x)
    shorter[size:] *= config.log_std_step
    return shorter, curvature - loss


def step_metrics(
    result: LineSearchResult,
    natural: NaturalDirection,
    alpha: float,
    gradient: Array,
    before: float,
) -> Metrics:
    """The rows of `trust_region/`, for a full step of alpha x. gradient, before: of what the rule
    maximises, at theta_old.

    predicted_kl: the quadratic model, half of (fraction alpha)^2 x'Fx. expected_improvement: the
    linear model, fraction alpha g'x.
    """
    length = result.fraction * alpha
    return {
        "trust_region/accepted": int(result.accepted),
        "trust_region/reason": result.reason,
        "trust_region/backtracks": result.backtracks,
        "trust_region/step_fraction": result.fraction,
        "trust_region/predicted_kl": 0.5 * length**2 * natural.curvature,
        "trust_region/expected_improvement": length * float(gradient @ natural.direction),
        "trust_region/actual_improvement": result.objective - before,
        **natural.metrics,
    }
