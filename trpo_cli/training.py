"""The state of a training run, and one iteration of it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from trpo_cli.algos.make import build_algorithm
from trpo_cli.config import Config
from trpo_cli.errors import RunFailed
from trpo_cli.estimates import estimate
from trpo_cli.models.policies import build_policy
from trpo_cli.models.values import Value
from trpo_cli.records import Trajectories
from trpo_cli.runs.clock import Clock
from trpo_cli.runs.machine import usable_cores
from trpo_cli.samplers.single_path import SinglePathSampler
from trpo_cli.seeding import environment_seeds, stream
from trpo_cli.simulators.make import make_simulator

RECENT_EPISODES = 100


class Training:
    """Everything that one run keeps between iterations."""

    def __init__(self, config: Config) -> None:
        seed = config.seed
        assert seed is not None, "the command line draws a seed when none is given"
        self.config, self.seed = config, seed
        self.threads = config.threads or usable_cores()
        self.device = "cuda" if config.device == "cuda" else "cpu"
        self.sampler = self._build_sampler()
        self.simulator = self.sampler.simulators[0]
        spaces = self.simulator.observation_space, self.simulator.action_space
        self.policy = build_policy(config.policy, *spaces, stream(seed, "policy_init"), self.device)
        features = int(np.prod(spaces[0].shape))
        self.value = Value(config.value, features, stream(seed, "value_init"))
        self.algorithm = build_algorithm(config.algo, self.policy)
        names = ("action_noise", "policy_minibatches", "value_minibatches")
        self.generators = {name: stream(seed, name) for name in names}
        self.step = self.iteration = 0
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.clock = Clock()

    def _build_sampler(self) -> SinglePathSampler:
        config = self.config.sampler
        size, threads = config.num_envs // config.groups, max(1, self.threads // config.groups)
        return SinglePathSampler(
            [make_simulator(self.config.env, size, threads) for _ in range(config.groups)],
            config.steps_per_env,
            environment_seeds(self.seed, config.num_envs),
            parallel=self.threads > 1 and config.groups > 1,
        )

    def iterate(self) -> dict[str, Any]:
        """Collect one batch, learn from it, and return the row of metrics."""
        config, clock, generators = self.config, self.clock, self.generators
        remaining = 1.0 - self.step / config.total_steps
        clock.start()
        with clock("collect"):
            trajectories = self.sampler.collect(self.policy, generators["action_noise"])
        with clock("estimate"):
            batch = estimate(
                trajectories, self.policy, self.value, config.discount, config.advantage
            )
        with clock("update"):
            update = self.algorithm.update(
                self.policy, batch, generators["policy_minibatches"], remaining
            )
        with clock("value"):
            fit = self.value.fit(
                batch.features, batch.returns, generators["value_minibatches"], remaining
            )
        # Only now: the policy that acted, the one updated and the one compared are one function.
        self.policy.normalizer.update(trajectories.flat_observations)
        self.step += trajectories.num_steps
        self.iteration += 1
        self.recent.extend(trajectories.episode_returns)
        self._check_finite()
        times, elapsed = clock.lap()
        return {
            "step": self.step,
            "iteration": self.iteration,
            "seconds": clock.total,
            "steps_per_second": trajectories.num_steps / elapsed,
            **episode_metrics(trajectories),
            "train/return_recent": float(np.mean(self.recent)) if self.recent else None,
            **update,
            **fit,
            **{f"time/{phase}": seconds for phase, seconds in times.items()},
        }

    def _check_finite(self) -> None:
        """Stop a run whose parameters are no numbers any more: nothing is learned from there."""
        for name, part in (("policy", self.policy), ("value function", self.value)):
            if not math.isfinite(float(abs(part.parameters).max())):
                raise RunFailed(
                    f"the {name} has parameters that are not finite after step {self.step}; "
                    "a smaller step size (algo.* or value.learning_rate) usually helps."
                )

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint holds, under policy/, value/ and algo/."""
        parts: dict[str, Any] = {
            "policy": self.policy,
            "value": self.value,
            "algo": self.algorithm,
        }
        return {f"{name}/{k}": v for name, part in parts.items() for k, v in part.state().items()}

    def close(self) -> None:
        self.sampler.close()


def episode_metrics(trajectories: Trajectories) -> dict[str, float | None]:
    """Raw returns and lengths of the training episodes that ended in this iteration."""
    returns, lengths = trajectories.episode_returns, trajectories.episode_lengths
    return {
        "train/return_mean": float(np.mean(returns)) if returns else None,
        "train/return_std": float(np.std(returns)) if returns else None,
        "train/length_mean": float(np.mean(lengths)) if lengths else None,
        "train/episodes": len(returns),
    }
