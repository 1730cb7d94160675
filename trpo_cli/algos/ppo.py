"""Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017, 1707.06347).

    maximise  mean min(r A, clip(r, 1 - eps, 1 + eps) A),   r = pi_theta / pi_old

by several epochs of shuffled minibatches and Adam. pi_old and its log-probabilities are those of
the whole batch before the first step.

Departures from the paper:
1. Policy and value function share nothing and are fitted one after the other, unless the
   network is one for both (`value=shared`, for pictures).
2. Advantages are standardised over the batch, not over each minibatch.
3. The gradient's norm is clipped, and the step size falls to zero over the last quarter.
"""

from __future__ import annotations

import numpy as np

from trpo_cli.algos.base import Metrics, change_metrics
from trpo_cli.algos.objectives import value_slope
from trpo_cli.config import PPOConfig
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array, namespace
from trpo_cli.maths.distributions import mean_kl
from trpo_cli.maths.schedule import scheduled
from trpo_cli.maths.surrogate import clip_fraction, clipped_slope, surrogate
from trpo_cli.models.policies import Policy
from trpo_cli.records import Batch


class PPO:
    """Epochs of clipped minibatch steps per batch."""

    def __init__(self, config: PPOConfig, policy: Policy, value_coef: float = 0.0) -> None:
        """value_coef: weight of (V - R)^2 in the loss, for a network that gives V(s) as well."""
        self.config, self._value_coef = config, value_coef
        self._adam = Adam(policy.parameters, eps=1e-5)

    def update(
        self, policy: Policy, batch: Batch, generator: np.random.Generator, remaining: float
    ) -> Metrics:
        config = self.config
        old = policy.distribution(batch.observations).detach()
        old_log_prob = old.log_prob(batch.actions)
        learning_rate = scheduled(config.learning_rate, config.schedule, remaining)
        size = batch.size
        chunk = min(config.minibatch_size or size, size)
        gradient = namespace(policy.parameters).empty_like(policy.parameters)
        reason, epochs, steps = "", 0, self._adam.steps
        while epochs < config.epochs:
            order = generator.permutation(size)
            shuffled, minibatches = batch.split.minibatches(order, chunk)
            observations, actions = batch.observations[shuffled], batch.actions[shuffled]
            advantages, before = batch.advantages[shuffled], old_log_prob[shuffled]
            targets = batch.targets[shuffled]
            for rows, count in minibatches:
                here = policy.linearize(observations[rows])
                log_prob, vjp = here.distribution.log_prob_vjp(actions[rows])
                slope = clipped_slope(log_prob, before[rows], advantages[rows], config.clip_range)
                descent = vjp(slope * (-1.0 / count))
                if config.entropy_coef:
                    bonus = here.distribution.entropy_gradient()
                    descent = descent.plus(-config.entropy_coef * (len(slope) / count), bonus)
                values = None
                if here.values is not None:
                    values = value_slope(here.values, targets[rows], self._value_coef, count)
                batch.sum(here.vjp(descent, values, out=gradient))
                # Where every sample is clipped there is no gradient; the next minibatch has one.
                problem = self._adam.clipped_step(gradient, learning_rate, config.max_grad_norm)
                reason = problem or reason
            epochs += 1
            moved = self._adam.steps > steps
            if not moved:
                break
            if config.target_kl is not None:
                kl = mean_kl(old, policy.distribution(batch.observations))
                if float(batch.average(kl)) > config.target_kl:
                    break
        new = policy.distribution(batch.observations)
        log_prob = new.log_prob(batch.actions)
        before_it = float(batch.average(batch.advantages.mean()))
        after = float(batch.average(surrogate(log_prob, old_log_prob, batch.advantages)))
        clipped = clip_fraction(log_prob, old_log_prob, config.clip_range)
        return {
            **change_metrics(policy, batch, old, new, before_it, after),
            "policy/clip_fraction": batch.average(clipped),
            "policy/epochs": epochs,
            "policy/skipped": "" if moved else reason or "no usable gradient",
        }

    def state(self) -> dict[str, Array]:
        return {f"adam/{k}": v for k, v in self._adam.state().items()}

    def load_state(self, state: dict[str, Array]) -> None:
        self._adam.load_state({k.removeprefix("adam/"): v for k, v in state.items()})
