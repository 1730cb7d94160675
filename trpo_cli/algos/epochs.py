"""Epochs of shuffled minibatches and Adam over one batch.

    maximise  mean f(r, A) - c mean KL(pi_old || pi_theta) + c_H mean H - c_V mean (V - R)^2

with f and c from the rule: PPO's clipped term and c = 0, or r A and a penalty. pi_old and its
log-probabilities are those of the whole batch before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.algos.base import Metrics, change_metrics
from trpo_cli.algos.compiled_epochs import can_compile, compiled_epochs
from trpo_cli.algos.minibatch import Slope, minibatch_gradient
from trpo_cli.data.records import Batch
from trpo_cli.data.states import join, part
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array, namespace
from trpo_cli.maths.distributions import Distribution, mean_kl
from trpo_cli.maths.schedule import ADAPTIVE, SCHEDULES, adapted_step_size, scheduled
from trpo_cli.maths.surrogate import sampled_kl, surrogate
from trpo_cli.models.orders import draw_order, takes_alone
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.algos.device_epochs import DeviceEpochs
    from trpo_cli.models.policy import Policy

Measure = Callable[[Array, Array, Array], Any]
"""log pi, log pi_old and A, (n,) each -> a mean over the n samples."""


@dataclass
class MinibatchConfig:
    """The settings of epochs of shuffled minibatches and Adam."""

    epochs: int = setting(help="passes over each batch", low=1)
    minibatch_size: int | None = setting(
        help="samples per Adam step, of a policy that remembers rounded to whole sequences; null: "
        "the whole batch",
        low=1,
    )
    learning_rate: float = setting(help="Adam's step size", above=0)
    schedule: str = setting(help="step size over training", choices=[*SCHEDULES, ADAPTIVE])
    schedule_kl: float = setting(
        help="mean KL per update that an adaptive step size is held near, nats: / 1.5 above twice "
        "of it, * 1.5 below half of it",
        above=0,
        when="schedule=adaptive",
    )
    entropy_coef: float = setting(help="weight of the entropy bonus", low=0)
    max_grad_norm: float | None = setting(help="clip the gradient's norm; null: never", above=0)
    recompute_advantages: bool = setting(
        help="estimate them anew between epochs, V fitted there",
        when="epochs!=1",
    )


def whole_sequences(count: int, batch: Batch) -> int:
    """So many samples of a batch, or the nearest number that is of whole sequences, at least
    one."""
    length = batch.together.length if batch.together else 1
    return length * max(1, round(count / length))


class MinibatchOptimizer:
    """What lasts from batch to batch: Adam's moments, and a step size that adapts to the KL.

    value_coef: weight of (V - R)^2 in the loss, for a network that gives V(s) as well.
    """

    def __init__(self, config: MinibatchConfig, policy: Policy, value_coef: float = 0.0) -> None:
        self._config, self._value_coef = config, value_coef
        self._adam = Adam(policy.parameters, eps=1e-5)
        self._adaptive = config.schedule == ADAPTIVE
        self._learning_rate = config.learning_rate
        self._there: DeviceEpochs | None = None

    def ascend(
        self,
        policy: Policy,
        batch: Batch,
        generator: np.random.Generator,
        remaining: float,
        slope: Slope,
        kl_coef: float = 0.0,
        target_kl: float | None = None,
    ) -> MinibatchAscent:
        """All epochs of one update, fewer where nothing moves or a minibatch is beyond the
        target."""
        learning_rate = scheduled(self._learning_rate, self._config.schedule, remaining)
        ascent = MinibatchAscent(
            policy,
            batch,
            self._adam,
            self._config,
            generator,
            learning_rate,
            self._value_coef,
            self._on_device(policy, batch, learning_rate),
        )
        # Without anything between them, compiled code makes all epochs in one call.
        epochs, at_once = self._config.epochs, 1 if batch.refreshed else self._config.epochs
        for epoch in range(0, epochs, at_once):
            if epoch:
                ascent.refresh()
            if not ascent.run(at_once, slope, kl_coef, target_kl):
                break
        policy.hold()
        if self._adaptive and ascent.moved:
            self._learning_rate = adapted_step_size(
                learning_rate, ascent.kl(), self._config.schedule_kl
            )
        return ascent

    def _on_device(self, policy: Policy, batch: Batch, learning_rate: float) -> DeviceEpochs | None:
        """What takes the steps on this batch, where that is a device's business."""
        if not takes_alone(policy.parameters, batch.split):
            return None
        if self._there is None:
            from trpo_cli.algos.device_epochs import DeviceEpochs

            self._there = DeviceEpochs(policy, self._adam, self._config, self._value_coef)
        self._there.begin(learning_rate)
        return self._there

    def state(self) -> dict[str, Array]:
        state = join({"adam": self._adam.state()})
        if self._adaptive:
            state["learning_rate"] = np.array([self._learning_rate])
        return state

    def load_state(self, state: dict[str, Array]) -> None:
        self._adam.load_state(part(state, "adam"))
        if self._adaptive and "learning_rate" in state:  # another schedule saved none
            self._learning_rate = float(state["learning_rate"][0])


class MinibatchAscent:
    """One update, epoch by epoch.

    config: `minibatch_size`, `entropy_coef` (c_H), `max_grad_norm`. learning_rate: Adam's.
    value_coef: c_V, for a network that gives V(s) as well. there: who takes the steps, where the
    parameters' device takes them alone.
    """

    def __init__(
        self,
        policy: Policy,
        batch: Batch,
        adam: Adam,
        config: Any,
        generator: np.random.Generator,
        learning_rate: float,
        value_coef: float = 0.0,
        there: DeviceEpochs | None = None,
    ) -> None:
        self._policy, self._batch, self._adam = policy, batch, adam
        self._config, self._generator, self._value_coef = config, generator, value_coef
        self._old = policy.distribution(batch.observations).detach()
        self.old_log_prob = self._old.log_prob(batch.actions)
        self._learning_rate = learning_rate
        self._gradient = namespace(policy.parameters).empty_like(policy.parameters)
        self._reason, self._steps, self._at_old = "", adam.steps, True
        self._samples = 0
        self._there = there

    def refresh(self) -> None:
        """The same samples with advantages by a V that is known better by now."""
        assert self._batch.refreshed is not None
        self._batch = self._batch.refreshed()

    def run(
        self, epochs: int, slope: Slope, kl_coef: float = 0.0, target_kl: float | None = None
    ) -> bool:
        """Every sample once in each of so many epochs, in new orders; no epoch follows one until
        the end of which nothing moved, and no step a minibatch whose mean of `sampled_kl` is
        larger than the target. kl_coef: c. Returns whether it came to the end of all, and moved."""
        target_kl = math.inf if target_kl is None else target_kl
        batch, wanted = self._batch, self._samples + epochs * self._batch.size
        orders = [
            draw_order(
                batch.size, self._generator, self._policy.parameters, batch.split, batch.together
            )
            for _ in range(epochs)
        ]
        if not can_compile(self._policy, batch, slope):
            for order in orders:
                if not self.epoch(order, slope, kl_coef, target_kl) or not self.moved:
                    break
            return self._samples == wanted and self.moved
        done = compiled_epochs(
            self._policy,
            batch,
            self._old,
            self.old_log_prob,
            self._adam,
            self._config,
            self._learning_rate,
            orders,
            slope,
            kl_coef,
            target_kl,
            self._at_old,
        )
        self._reason = done.reason or self._reason
        self._at_old = done.at_old
        self._samples += done.samples
        return self._samples == wanted and self.moved

    def epoch(self, order: np.ndarray, slope: Slope, kl_coef: float, target_kl: float) -> bool:
        """Every sample once, in this order: what `compiled_epochs` does for some policies.

        Returns whether it came to the end: no minibatch was beyond the target.
        """
        config, batch = self._config, self._batch
        if self._there is not None:
            self._samples, ended = self._there.epoch(
                batch, self._old, self.old_log_prob, order, slope, kl_coef, target_kl
            )
            return ended
        size = batch.size
        chunk = whole_sequences(min(config.minibatch_size or size, size), batch)
        shuffled, minibatches = batch.split.minibatches(order, chunk)
        observations, actions = batch.observations[shuffled], batch.actions[shuffled]
        advantages, before = batch.advantages[shuffled], self.old_log_prob[shuffled]
        targets = batch.targets[shuffled]
        old = self._old.rows(shuffled) if kl_coef else None
        for rows, count in minibatches:
            here = self._policy.linearize(observations[rows])
            log_prob, vjp = here.distribution.log_prob_vjp(actions[rows])
            if target_kl < math.inf:
                divergence = float(sampled_kl(log_prob, before[rows]).sum())
                if batch.sum(divergence) > target_kl * count:
                    return False
            # The KL's gradient is zero at pi_old. What rounding makes of it there Adam, which
            # knows no scale, would take for a direction.
            gradient = minibatch_gradient(
                here,
                vjp,
                slope(log_prob, before[rows], advantages[rows]),
                targets[rows],
                count,
                config.entropy_coef,
                self._value_coef,
                (kl_coef, old.rows(rows)) if old and not self._at_old else None,
                self._gradient,
            )
            batch.sum(gradient)
            # Where every sample is clipped there is no gradient; the next minibatch has one.
            problem = self._adam.clipped_step(
                self._gradient, self._learning_rate, config.max_grad_norm
            )
            self._reason = problem or self._reason
            self._at_old = self._at_old and bool(problem)
            self._samples += count
        return True

    @property
    def moved(self) -> bool:
        """Whether any minibatch so far had a usable gradient."""
        return self._adam.steps > self._steps

    def kl(self) -> float:
        """mean KL(pi_old || pi_theta) over the whole batch, nats."""
        kl = mean_kl(self._old, self._policy.distribution(self._batch.observations))
        return float(self._batch.average(kl))

    def metrics(
        self, objective: Measure = surrogate, also: Mapping[str, Measure] | None = None
    ) -> Metrics:
        """What the epochs did. objective: mean f; also: further measures by their keys."""
        batch = self._batch
        new: Distribution = self._policy.distribution(batch.observations)
        log_prob = new.log_prob(batch.actions)
        before = float(batch.average(batch.advantages.mean()))

        def measured(measure: Measure) -> float:
            mean = measure(log_prob, self.old_log_prob, batch.advantages)
            return float(batch.average(mean))

        after = measured(objective)
        metrics = change_metrics(batch, self._old, new, before, after)
        metrics |= {key: measured(measure) for key, measure in (also or {}).items()}
        metrics["policy/epochs"] = self._samples / batch.size
        metrics["policy/learning_rate"] = self._learning_rate
        metrics["policy/skipped"] = "" if self.moved else self._reason or "no usable gradient"
        return metrics
