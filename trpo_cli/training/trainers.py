"""One iteration of a run: collect, estimate, update, fit.

`BatchTrainer` learns from steps, `PopulationTrainer` from the returns of whole perturbed policies.
Both hand back the metrics of what they did; counting and saving are `Training`'s.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trpo_cli.data.records import Batch, Evaluations, Trajectories
from trpo_cli.distributed.split import Split
from trpo_cli.estimators.batch import Estimation
from trpo_cli.maths.returns import explained_variance
from trpo_cli.maths.schedule import cooled
from trpo_cli.models.packed import packable
from trpo_cli.models.parts import use_threads
from trpo_cli.models.policy import Policy
from trpo_cli.models.value import StateValue, Value
from trpo_cli.samplers.base import World
from trpo_cli.system.clock import Clock
from trpo_cli.training.between_epochs import BetweenEpochs
from trpo_cli.training.build import Components
from trpo_cli.training.episodes import EndedEpisodes
from trpo_cli.training.guards import (
    check_batch,
    check_evaluations,
    check_learned,
    check_trajectories,
)
from trpo_cli.training.normalization import renormalize

Generators = Mapping[str, np.random.Generator]


@dataclass(frozen=True)
class Learned:
    """What one iteration gave. steps: simulated environment steps of all processes."""

    steps: int
    ended: EndedEpisodes
    metrics: dict[str, Any]


class Trainer(Protocol):
    def iterate(self, generators: Generators, clock: Clock, step: int) -> Learned:
        """Collect one batch and learn from it. step: environment steps before it."""
        ...


class BatchTrainer:
    """Collect, estimate, update, fit."""

    def __init__(self, parts: Components, world: World, clip_rewards: bool) -> None:
        self._parts, self._processes, self._threads = parts, world.processes, world.threads
        self._clip_rewards = clip_rewards
        self._cooldown = getattr(parts.config.policy, "log_std_cooldown", 0.0)
        self._shares_out = getattr(parts.policy.network, "shares_out", False)

    def iterate(self, generators: Generators, clock: Clock, step: int) -> Learned:
        parts, processes = self._parts, self._processes
        config, policy, value, split = parts.config, parts.policy, parts.value, parts.split
        remaining = 1.0 - step / config.total_steps
        self._use_threads(1)  # the simulators have the other cores
        with clock("collect"), processes.agreed():
            trajectories: Trajectories = parts.sampler.collect(
                policy, generators["action_noise"], value, generators["branching"]
            )
            check_trajectories(trajectories, policy, step)
        self._use_threads(self._threads)
        traits, earlier = config.algo.traits, parts.earlier
        bound = config.algo.bound(remaining) if traits.keeps_bound else None
        with clock("estimate"):
            acted = earlier.acted(policy, trajectories) if earlier else None
            moved = renormalize(
                policy,
                trajectories.flat_observations,
                len(trajectories.rewards),
                split,
                whole=traits.bounds_kl and earlier is None,
                bound=bound,
                memory=trajectories.memory,
            )
            estimation = Estimation(
                trajectories,
                policy,
                value,
                config.discount,
                config.advantage,
                clip_rewards=self._clip_rewards,
                split=split,
                estimator=parts.estimator,
                scaler=parts.scaler,
                acted=moved.acted,
            )
            batch = estimation.batch()
            with processes.agreed():
                check_batch(batch, trajectories, value, step)
            wide, reused = batch, dict[str, float | None]()
            if earlier and acted is not None:
                learned_from = dataclasses.replace(trajectories, rewards=estimation.rewards)
                wide, reused = earlier.join(policy, batch, learned_from, acted, self._estimated)
        after = step + trajectories.num_steps
        left = 1.0 - after / config.total_steps
        cooldown, lowered = (self._cooldown * cooled(s, left) for s in (remaining, 1.0))
        policy.cool(cooldown, bound, lowered)
        update, fit = self._learn(estimation, batch, wide, generators, clock, remaining)
        # All processes have computed the same from the same sums, but the libraries they did it
        # with promise no bits, and on another kind of processor the last ones do differ.
        processes.align(policy.parameters, value.parameters)
        with processes.agreed():
            check_learned(policy, value, update | fit, after, trajectories, batch)
        if config.value.traits.learned:
            # That of the predictions that the returns were made with.
            for key, returns in (
                ("value/explained_variance", batch.returns),
                ("value/explained_variance_monte_carlo", batch.rewards_to_go),
            ):
                fit[key] = explained_variance(batch.values, returns, split.average)
        ended = EndedEpisodes.of(processes.gather(EndedEpisodes.in_(trajectories)))
        also = parts.sampler.metrics(trajectories)
        metrics = {**update, **moved.metrics, **reused, **fit, **also}
        return Learned(trajectories.num_steps, ended, metrics)

    def _estimated(self, trajectories: Trajectories) -> Batch:
        """The batch that earlier trajectories are with V as it is now; their rewards are those that
        were learned from."""
        parts = self._parts
        config, policy, value = parts.config, parts.policy, parts.value
        return Estimation(trajectories, policy, value, config.discount, config.advantage).batch()

    def _learn(
        self,
        estimation: Estimation,
        batch: Batch,
        wide: Batch,
        generators: Generators,
        clock: Clock,
        remaining: float,
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """The metrics of the policy's update, from the wide batch, and of the value function's
        fit."""
        rule, policy, value = self._parts.rule, self._parts.policy, self._parts.value
        algo = self._parts.config.algo
        if getattr(algo, "recompute_advantages", False):
            between = BetweenEpochs(
                estimation, batch, value, self._parts.config, generators, clock, remaining
            )
            with clock("update"):
                metrics = rule.update(
                    policy, between.batch, generators["policy_minibatches"], remaining
                )
            return metrics, between.finish()

        def fit() -> dict[str, float]:
            return value.fit(
                batch.features,
                batch.returns,
                generators["value_minibatches"],
                remaining,
                batch.split,
            )

        def update() -> dict[str, Any]:
            with clock("update"):
                return rule.update(policy, wide, generators["policy_minibatches"], remaining)

        if self._threads == 1 or not apart(policy, value, batch.split):
            metrics = update()
            with clock("value"):
                return metrics, fit()
        with ThreadPoolExecutor(1) as other:
            fitting = other.submit(copy_context().run, fit)
            metrics = update()
            with clock("value"):  # what is left of it
                return metrics, fitting.result()

    def _use_threads(self, threads: int) -> None:
        """How many threads networks may use from here on; MLPs are numpy's business."""
        if self._shares_out:
            use_threads(threads)
            threads = 1  # of torch's own, whose sums depend on their number
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


def apart(policy: Policy, value: StateValue, split: Split) -> bool:
    """Whether policy and value function may be fitted at the same time: they share nothing, and
    most of it is compiled code, which leaves the interpreter to the other one."""
    return (
        isinstance(value, Value)
        and packable(value.network, value.parameters, split)
        and packable(policy.network, policy.parameters, split)
    )


class PopulationTrainer:
    """Compare whole policies: nothing is estimated or fitted."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts

    def iterate(self, generators: Generators, clock: Clock, step: int) -> Learned:
        parts = self._parts
        policy, rule = parts.policy, parts.rule
        remaining = 1.0 - step / parts.config.total_steps
        with clock("collect"):
            batch: Evaluations = parts.sampler.collect(
                policy, generators["action_noise"], parts.value, generators["branching"]
            )
            check_evaluations(batch, step)
        with clock("update"):
            update = rule.update(policy, batch, generators["policy_minibatches"], remaining)
        check_learned(policy, parts.value, update, step + batch.num_steps, batch)
        policy.normalizer.update(batch.observations)
        return Learned(batch.num_steps, EndedEpisodes.in_(batch), update)


def make_trainer(parts: Components, world: World, clip_rewards: bool) -> Trainer:
    """The trainer that learns from what the sampler gives."""
    if parts.config.sampler.traits.gives == "evaluations":
        return PopulationTrainer(parts)
    return BatchTrainer(parts, world, clip_rewards)
