"""Natural policy gradient (Kakade 2001): TRPO without the line search.

    theta <- theta + alpha F^-1 g,  g = mean A grad log pi (+ entropy_coef grad mean H)

    normalized:  alpha = sqrt(2 delta / x'Fx), x ~= F^-1 g: predicted KL of exactly delta
    fixed:       alpha = step_size

Departures from the paper:
1. F^-1 g by conjugate gradients on F + damping I, F from a part of the batch.
2. A stands for what `advantage` chooses, by default from a learned value function (GAE).
3. A step that leaves the policy without finite probabilities is taken back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.algos.base import Metrics, policy_metrics
from trpo_cli.algos.held_out import HeldOut
from trpo_cli.algos.natural_gradient import (
    FISHER,
    LOG_STD_STEP,
    check_log_std_step,
    natural_direction,
    step_metrics,
)
from trpo_cli.algos.objectives import entropy_bonus, objective_of
from trpo_cli.components import RuleTraits, component
from trpo_cli.data.records import Batch
from trpo_cli.maths.arrays import Array, copy
from trpo_cli.maths.line_search import LineSearchResult
from trpo_cli.maths.schedule import SCHEDULES, scheduled
from trpo_cli.settings import CONTINUOUS, setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class NPGConfig:
    """Natural policy gradient: theta + alpha F^-1 grad J (Kakade 2001)."""

    traits: ClassVar = RuleTraits(bounds_kl=True, reuses=True)

    step_rule: str = setting(
        help="normalized: alpha = sqrt(2 max_kl / g'F^-1 g); fixed: alpha = step_size",
        choices=["normalized", "fixed"],
    )
    max_kl: float = setting(
        help="trust-region size of the normalized step, nats", above=0, when="step_rule=normalized"
    )
    schedule: str = setting(help="step length over training", choices=SCHEDULES)
    step_size: float = setting(help="alpha of the fixed step", above=0, when="step_rule=fixed")
    cg_iterations: int = setting(help="conjugate-gradient iterations", low=1)
    cg_tolerance: float = setting(help="squared residual to stop at, as a share of |g|^2", low=0)
    damping: float = setting(help="added to the Fisher matrix's diagonal", low=0)
    fisher_fraction: float = setting(help="share of the batch in Fisher products", above=0, high=1)
    fisher: str = setting(help=FISHER, choices=["kl_hessian", "empirical"])
    log_std_step: float = setting(help=LOG_STD_STEP, above=0, high=1, when=CONTINUOUS)
    entropy_coef: float = setting(help="weight of the entropy bonus", low=0)

    def check(self, config: Any) -> None:
        check_log_std_step(config)

    def build(self, policy: Policy, value_coef: float = 0.0) -> NPG:
        return NPG(self)


class NPG:
    """One natural step per batch, its length fixed by a rule and not checked."""

    def __init__(self, config: NPGConfig) -> None:
        self.config, self._held_out = config, HeldOut()

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config = self.config
        here = policy.linearize(batch.observations)
        old = here.distribution.detach() if batch.acted is None else batch.acted
        objective = objective_of(policy, here, batch, config.entropy_coef)
        before = objective.before + entropy_bonus(batch, here.distribution, config.entropy_coef)

        natural = natural_direction(policy, batch, objective.gradient, config, generator)
        result = LineSearchResult(False, natural.reason, 0, 0.0, before, 0.0)
        alpha = 0.0

        def length(curvature: float) -> float:
            if config.step_rule == "fixed":
                return scheduled(config.step_size, config.schedule, remaining)
            max_kl = scheduled(config.max_kl, config.schedule, remaining)
            return math.sqrt(2.0 * max_kl / curvature)

        held_out = self._held_out.metrics(policy, batch, config, length)
        if not natural.reason:
            alpha = length(natural.curvature)
            saved = copy(policy.parameters)
            policy.parameters[:] += alpha * natural.direction
            policy.hold()

        metrics = policy_metrics(policy, batch, old, objective)
        kl, after = metrics["policy/kl"], metrics["policy/surrogate_after"]
        if not natural.reason:
            after += config.entropy_coef * metrics["policy/entropy"]
            result = LineSearchResult(True, "", 0, 1.0, after, kl)
            if not (math.isfinite(kl) and math.isfinite(after)):
                policy.parameters[:] = saved
                reason = "objective is not finite"
                result = LineSearchResult(False, reason, 0, 0.0, before, 0.0)
                metrics = policy_metrics(policy, batch, old, objective)
        return {
            **metrics,
            **step_metrics(result, natural, alpha, objective.gradient, before),
            **held_out,
        }

    def state(self) -> dict[str, Array]:
        return self._held_out.state()

    def load_state(self, state: dict[str, Array]) -> None:
        self._held_out.load_state(state)
