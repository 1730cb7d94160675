"""The state of a training run, and one iteration of it."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np

from trpo_cli.algos.make import build_algorithm
from trpo_cli.config import Config, may_change
from trpo_cli.errors import UserError
from trpo_cli.estimates import estimate
from trpo_cli.guards import check_batch, check_learned, check_trajectories
from trpo_cli.models.policies import build_policy
from trpo_cli.models.values import Value
from trpo_cli.records import Trajectories
from trpo_cli.runs.clock import Clock
from trpo_cli.runs.machine import usable_cores
from trpo_cli.samplers.single_path import SinglePathSampler
from trpo_cli.seeding import environment_seeds, stream
from trpo_cli.settings import walk
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
        names = ("action_noise", "policy_minibatches", "value_minibatches", "restarts")
        self.generators = {name: stream(seed, name) for name in names}
        self.step = self.iteration = self.failed_simulations = 0
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.clock = Clock()

    def _build_sampler(self) -> SinglePathSampler:
        config = self.config.sampler
        groups = min(config.groups, config.num_envs)
        sizes = [len(part) for part in np.array_split(range(config.num_envs), groups)]
        threads = max(1, self.threads // groups)
        return SinglePathSampler(
            [
                make_simulator(self.config.env, size, threads, first=sum(sizes[:group]))
                for group, size in enumerate(sizes)
            ],
            config.steps_per_env,
            environment_seeds(self.seed, config.num_envs),
            parallel=self.threads > 1 and groups > 1,
        )

    def iterate(self) -> dict[str, Any]:
        """Collect one batch, learn from it, and return the row of metrics."""
        config, clock, generators = self.config, self.clock, self.generators
        remaining = 1.0 - self.step / config.total_steps
        clock.start()
        with clock("collect"):
            trajectories = self.sampler.collect(self.policy, generators["action_noise"])
            check_trajectories(trajectories, self.policy, self.step)
        with clock("estimate"):
            batch = estimate(
                trajectories, self.policy, self.value, config.discount, config.advantage
            )
            check_batch(batch, trajectories, self.value, self.step)
        with clock("update"):
            update = self.algorithm.update(
                self.policy, batch, generators["policy_minibatches"], remaining
            )
        with clock("value"):
            fit = self.value.fit(
                batch.features, batch.returns, generators["value_minibatches"], remaining
            )
        after = self.step + trajectories.num_steps
        check_learned(self.policy, self.value, update | fit, after, trajectories, batch)
        # Only now: the policy that acted, the one updated and the one compared are one function.
        self.policy.normalizer.update(trajectories.flat_observations)
        self.step += trajectories.num_steps
        self.iteration += 1
        self.recent.extend(trajectories.episode_returns)
        self.failed_simulations += trajectories.failed_simulations
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

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything that decides the rest of the run: arrays under policy/, value/, algo/ and
        sampler/, and what JSON holds."""
        episodes, state = self.sampler.state()
        parts = {name: part.state() for name, part in self._learners()} | {"sampler": episodes}
        arrays = {f"{name}/{k}": v for name, part in parts.items() for k, v in part.items()}
        return arrays, {
            "belongs_to": self._identity(),
            "step": self.step,
            "iteration": self.iteration,
            "seconds": self.clock.total,
            "recent": list(self.recent),
            "failed_simulations": self.failed_simulations,
            "generators": {k: g.bit_generator.state for k, g in self.generators.items()},
            "sampler": state,
        }

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        """Go on where `state` was called, in a training of the same configuration.

        Returns why the episodes in progress had to be given up, empty when they go on. Raises
        `UserError` when the state is that of another environment or configuration.
        """
        self._check_identity(state.get("belongs_to", {}))

        def part(name: str) -> dict[str, np.ndarray]:
            prefix = f"{name}/"
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        try:
            for name, learner in self._learners():
                learner.load_state(part(name))
            for name, generator in self.generators.items():
                generator.bit_generator.state = state["generators"][name]
            self.step, self.iteration = state["step"], state["iteration"]
            self.recent.extend(state["recent"])
            self.failed_simulations = state.get("failed_simulations", 0)
            self.clock.go_on(state["seconds"])
            return self.sampler.load_state(
                part("sampler"), state["sampler"], self.generators["restarts"]
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"the checkpoint does not fit this run ({type(error).__name__}: {error}); was it "
                "written by another version?"
            ) from error

    def _learners(self) -> list[tuple[str, Any]]:
        return [("policy", self.policy), ("value", self.value), ("algo", self.algorithm)]

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint belongs to: every setting that a resumed run keeps, and the spaces."""
        settings = {k: v for k, _, v in walk(self.config) if k != "resume" and not may_change(k)}
        spaces = {
            "observations": str(self.simulator.observation_space),
            "actions": str(self.simulator.action_space),
        }
        plain: dict[str, Any] = json.loads(json.dumps({**settings, **spaces}, default=str))
        return plain

    def _check_identity(self, other: dict[str, Any]) -> None:
        ours = self._identity()
        for key in ("env.id", "algo.name", *other):
            if key in ours and ours[key] != other.get(key):
                raise UserError(
                    f"the checkpoint belongs to another run: {key} is {other.get(key)} there and "
                    f"{ours[key]} here."
                )

    def close(self) -> None:
        self.sampler.close()


def episode_metrics(trajectories: Trajectories) -> dict[str, float | None]:
    """Raw returns and lengths of the training episodes that ended in this iteration, and how many
    of them ended because their simulation failed."""
    returns, lengths = trajectories.episode_returns, trajectories.episode_lengths
    return {
        "train/return_mean": float(np.mean(returns)) if returns else None,
        "train/return_std": float(np.std(returns)) if returns else None,
        "train/length_mean": float(np.mean(lengths)) if lengths else None,
        "train/episodes": len(returns),
        "train/failed_simulations": trajectories.failed_simulations,
    }
