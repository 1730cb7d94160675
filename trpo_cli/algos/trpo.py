"""Trust region policy optimisation (Schulman et al. 2015, arXiv 1502.05477).

    maximise  L(theta)   subject to  mean KL(pi_old || pi_theta) <= delta

    L  = mean r(theta) A (single path), or the vine's objective: see `algos.objectives`
         (+ entropy_coef mean H)
    g  = grad L at theta_old
    x ~= F^-1 g               by k conjugate-gradient iterations on F + damping I
    s  = sqrt(2 delta / x'Fx) x
    try theta_old + ratio^j s, j = 0, 1, ...: keep the first whose surrogate improves and whose
    mean KL over the whole batch is at most delta; otherwise keep theta_old

Departures from the paper:
1. On a single path, advantages come from a learned value function (GAE) instead of Monte Carlo
   Q-values, unless `advantage=q_value` with lambda 1 asks for those.
2. F stands for F + damping I, in the solve and in the step length.
3. The Fisher product uses a quarter of the batch by default, the paper a tenth of a larger one.
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
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution, mean_kl
from trpo_cli.maths.line_search import LineSearchResult, line_search
from trpo_cli.maths.schedule import SCHEDULES, scheduled
from trpo_cli.settings import CONTINUOUS, setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@component("algo")
@dataclass
class TRPOConfig:
    """Trust region policy optimisation (Schulman et al. 2015)."""

    traits: ClassVar = RuleTraits(bounds_kl=True, keeps_bound=True, reuses=True)

    max_kl: float = setting(help="bound on the batch's mean KL(old || new), nats", above=0)
    schedule: str = setting(help="max_kl over training", choices=SCHEDULES)
    cg_iterations: int = setting(help="conjugate-gradient iterations", low=1)
    cg_tolerance: float = setting(help="squared residual to stop at, as a share of |g|^2", low=0)
    damping: float = setting(help="added to the Fisher matrix's diagonal", low=0)
    fisher_fraction: float = setting(help="share of the batch in Fisher products", above=0, high=1)
    fisher: str = setting(help=FISHER, choices=["kl_hessian", "empirical"])
    log_std_step: float = setting(help=LOG_STD_STEP, above=0, high=1, when=CONTINUOUS)
    entropy_coef: float = setting(help="weight of the entropy bonus", low=0)
    backtrack_ratio: float = setting(
        help="shrink per line-search trial", above=0, below=1, when="max_backtracks!=0"
    )
    max_backtracks: int = setting(help="line-search trials after the first", low=0)

    def check(self, config: Any) -> None:
        check_log_std_step(config)

    def bound(self, remaining: float) -> float:
        """delta when the share `remaining` of training is still to come."""
        return scheduled(self.max_kl, self.schedule, remaining)

    def build(self, policy: Policy, value_coef: float = 0.0) -> TRPO:
        return TRPO(self)


class TRPO:
    """One natural step per batch, as long as the trust region allows."""

    def __init__(self, config: TRPOConfig) -> None:
        self.config, self._held_out = config, HeldOut()

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config = self.config
        max_kl = config.bound(remaining)
        here = policy.linearize(batch.observations)
        old = self._old(here.distribution.detach(), batch, max_kl)
        objective = objective_of(policy, here, batch, config.entropy_coef)
        before = objective.before + entropy_bonus(batch, here.distribution, config.entropy_coef)

        natural = natural_direction(policy, batch, objective.gradient, config, generator)
        result = LineSearchResult(False, natural.reason, 0, 0.0, before, 0.0)
        alpha, new = 0.0, old

        def length(curvature: float) -> float:
            return math.sqrt(2.0 * max_kl / curvature)

        held_out = self._held_out.metrics(policy, batch, config, length)
        if not natural.reason:
            alpha = length(natural.curvature)

            def evaluate() -> tuple[float, float]:
                nonlocal new
                policy.hold()
                new = policy.distribution(batch.observations)
                trial = objective.at(new) + entropy_bonus(batch, new, config.entropy_coef)
                return trial, float(batch.average(mean_kl(old, new)))

            result = line_search(
                evaluate,
                policy.parameters,
                alpha * natural.direction,
                objective=before,
                max_kl=max_kl,
                ratio=config.backtrack_ratio,
                max_backtracks=config.max_backtracks,
            )
        new = new if result.accepted else here.distribution
        return {
            **policy_metrics(policy, batch, old, objective, new),
            **step_metrics(result, natural, alpha, objective.gradient, before),
            **held_out,
        }

    @staticmethod
    def _old(now: Distribution, batch: Batch, max_kl: float) -> Distribution:
        """What the KL is bounded from: the policy that acted, which new statistics of observations
        have moved since. `training.normalization` holds them within the bound in the newest batch;
        where they went beyond it in earlier ones, no step would be within it."""
        acted = batch.acted
        if acted is None or float(batch.average(mean_kl(acted, now))) > max_kl:
            return now
        return acted

    def state(self) -> dict[str, Array]:
        return self._held_out.state()

    def load_state(self, state: dict[str, Array]) -> None:
        self._held_out.load_state(state)
