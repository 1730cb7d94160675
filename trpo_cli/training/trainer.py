"""The state of a training run, and one iteration of it."""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.algos.es import ES
from trpo_cli.algos.make import build_algorithm
from trpo_cli.config import Config, may_change
from trpo_cli.config.settle import choose_device, settle, settle_game
from trpo_cli.data.records import Trajectories
from trpo_cli.distributed.processes import ALONE, Processes, processes_here
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.errors import UserError
from trpo_cli.estimators.batch import AverageBaseline, estimate
from trpo_cli.maths.returns import explained_variance
from trpo_cli.models.policies import build_policy
from trpo_cli.models.policy_values import NoValue
from trpo_cli.models.values import build_value, is_joint
from trpo_cli.samplers import episodes
from trpo_cli.samplers.perturbations import PerturbationSampler
from trpo_cli.samplers.single_path import SinglePathSampler
from trpo_cli.samplers.vine import VineSampler, branch_metrics, check_vine, width
from trpo_cli.seeding import environment_seeds, stream
from trpo_cli.settings import walk
from trpo_cli.simulators.base import shows_images
from trpo_cli.simulators.make import is_emulated, make_simulator
from trpo_cli.system.clock import Clock
from trpo_cli.system.machine import usable_cores
from trpo_cli.training.guards import (
    check_batch,
    check_evaluations,
    check_learned,
    check_trajectories,
)

RECENT_EPISODES = 100

Sampler = SinglePathSampler | VineSampler | PerturbationSampler


class Training:
    """Everything that one run keeps between iterations.

    Of several processes each has one, with some of the environments; all else is the same in all.
    What the first one's `iterate`, `state` and `load_state` begin, the others do in `follow`.
    """

    def __init__(self, config: Config, processes: Processes = ALONE) -> None:
        seed = config.seed
        assert seed is not None, "the command line draws a seed when none is given"
        self.processes, self.seed = processes, seed
        self.threads = config.threads or max(1, usable_cores() // processes_here())
        self.emulated = is_emulated(config.env)
        self.config = config = settle_game(config)
        self.sampler, self._split = self._build_sampler()
        self.simulator = self.sampler.simulators[0]
        spaces = self.simulator.observation_space, self.simulator.action_space
        self.config = config = settle(config, shows_images(spaces[0]))
        kind, self.device_reason = choose_device(config.device, config.policy)
        self.device = processes.device(kind)
        joint = is_joint(config)
        self.policy = build_policy(
            config.policy, *spaces, stream(seed, "policy_init"), self.device, with_value=joint
        )
        self.value = build_value(config, self.policy, spaces[0], stream(seed, "value_init"))
        self.baseline = None
        if config.advantage.name == "average_baseline":
            self.baseline = AverageBaseline(config.advantage.rollouts)
        value_coef = config.value.coef if joint else 0.0
        self.algorithm = build_algorithm(config.algo, self.policy, value_coef)
        names = (
            "action_noise", "policy_minibatches", "value_minibatches", "restarts", "branching"
        )  # fmt: skip
        self.generators = {name: stream(seed, name) for name in names}
        self.step = self.iteration = self.failed_simulations = 0
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.clock = Clock()

    def _build_sampler(self) -> tuple[Sampler, Split]:
        if self.config.sampler.name == "perturbations":
            return self._build_population(), WHOLE
        trunk, split = self._build_trunk()
        config, simulator = self.config.sampler, trunk.simulators[0]
        if config.name != "vine":
            return trunk, split
        self._refuse_several()
        check_vine(self.config, simulator)
        envs = width(config, simulator)
        branches = make_simulator(self.config.env, envs, self.threads)
        clip_rewards = self.emulated and self.config.env.atari.clip_rewards
        return VineSampler(trunk, branches, config, self.config.discount, clip_rewards), split

    def _build_population(self) -> PerturbationSampler:
        config = self.config
        self._refuse_several()
        simulator = make_simulator(config.env, config.sampler.num_envs, self.threads)
        sigma = config.algo.sigma
        return PerturbationSampler(simulator, config.sampler, sigma, config.discount)

    def _refuse_several(self) -> None:
        if self.processes.count > 1:
            raise UserError(
                f"sampler={self.config.sampler.name} runs in one process, and there are "
                f"{self.processes.count}; start trpo-run without torchrun, or choose "
                "sampler=single_path."
            )

    def _build_trunk(self) -> tuple[SinglePathSampler, Split]:
        """This process's environments, consecutive ones, and which samples come from them."""
        config, processes = self.config.sampler, self.processes
        steps, envs = config.steps_per_env, config.num_envs
        if envs < processes.count:
            raise UserError(
                f"sampler.num_envs={envs} is too small for {processes.count} processes: each needs "
                "an environment of its own. Give more environments, or fewer processes."
            )
        own = np.array_split(np.arange(envs), processes.count)[processes.rank]
        groups = min(config.groups, len(own))
        parts = np.array_split(own, groups)
        threads = max(1, self.threads // groups)
        sampler = SinglePathSampler(
            [
                make_simulator(self.config.env, len(part), threads, first=int(part[0]))
                for part in parts
            ],
            steps,
            environment_seeds(self.seed, envs),
            parallel=self.threads > 1 and groups > 1,
            first=int(own[0]),
        )
        if processes.count == 1:
            return sampler, WHOLE
        numbers = (envs * np.arange(steps)[:, None] + own).reshape(-1)
        return sampler, Split(processes, numbers, steps * envs)

    def _use_threads(self, threads: int) -> None:
        """How many threads torch may use from here on; MLPs are numpy's business."""
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)

    def iterate(self) -> dict[str, Any]:
        """Collect one batch, learn from it, and return the row of metrics."""
        with self.processes.order("iterate"):
            if isinstance(self.sampler, PerturbationSampler):
                return self._iterate_population(self.sampler)
            return self._iterate()

    def _iterate(self) -> dict[str, Any]:
        config, clock, generators, rule = (
            self.config, self.clock, self.generators, self.algorithm
        )  # fmt: skip
        assert not isinstance(rule, ES)
        processes, split = self.processes, self._split
        remaining = 1.0 - self.step / config.total_steps
        clock.start()
        self._use_threads(1)  # the simulators have the other cores
        with clock("collect"), processes.agreed():
            trajectories = self._collect()
            check_trajectories(trajectories, self.policy, self.step)
        self._use_threads(self.threads)
        with clock("estimate"):
            batch = estimate(
                trajectories,
                self.policy,
                self.value,
                config.discount,
                config.advantage,
                clip_rewards=self.emulated and config.env.atari.clip_rewards,
                split=split,
                baseline=self.baseline,
            )
            with processes.agreed():
                check_batch(batch, trajectories, self.value, self.step)
        with clock("update"):
            update = rule.update(self.policy, batch, generators["policy_minibatches"], remaining)
        with clock("value"):
            fit = self.value.fit(
                batch.features, batch.returns, generators["value_minibatches"], remaining, split
            )
        # All processes have computed the same from the same sums, but the libraries they did it
        # with promise no bits, and on another kind of processor the last ones do differ.
        processes.align(self.policy.parameters, self.value.parameters)
        after = self.step + trajectories.num_steps
        with processes.agreed():
            check_learned(self.policy, self.value, update | fit, after, trajectories, batch)
        # Only now: the policy that acted, the one updated and the one compared are one function.
        self.policy.normalizer.update(trajectories.flat_observations, split)
        branches = trajectories.branches
        vine = {} if branches is None else branch_metrics(branches, trajectories.rewards.size)
        if not isinstance(self.value, NoValue):
            # That of the predictions that the returns were made with.
            explained = explained_variance(batch.values, batch.returns, split.average)
            fit["value/explained_variance"] = explained
        ended = Ended.of(processes.gather(Ended.in_(trajectories)))
        return self._row(
            trajectories.num_steps,
            ended,
            {**update, **fit, **vine},
        )

    def _iterate_population(self, sampler: PerturbationSampler) -> dict[str, Any]:
        """The same where whole policies are compared: nothing is estimated or fitted."""
        clock, generators, rule = self.clock, self.generators, self.algorithm
        assert isinstance(rule, ES)
        remaining = 1.0 - self.step / self.config.total_steps
        clock.start()
        with clock("collect"):
            noise, seeding = generators["action_noise"], generators["branching"]
            batch = sampler.collect(self.policy, noise, seeding)
            check_evaluations(batch, self.step)
        with clock("update"):
            update = rule.update(self.policy, batch, generators["policy_minibatches"], remaining)
        check_learned(self.policy, self.value, update, self.step + batch.num_steps, batch)
        self.policy.normalizer.update(batch.observations)
        ended = Ended([], batch.episode_returns, batch.episode_lengths, batch.failed_simulations)
        return self._row(batch.num_steps, ended, update)

    def _row(self, steps: int, ended: Ended, learned: dict[str, Any]) -> dict[str, Any]:
        """Count what an iteration of so many environment steps brought; its row of metrics."""
        self.step += steps
        self.iteration += 1
        self.recent.extend(ended.returns)
        self.failed_simulations += ended.failed_simulations
        times, elapsed = self.clock.lap()
        return {
            "step": self.step,
            "iteration": self.iteration,
            "seconds": self.clock.total,
            "steps_per_second": steps / elapsed,
            **ended.metrics(),
            "train/return_recent": float(np.mean(self.recent)) if self.recent else None,
            **learned,
            **{f"time/{phase}": seconds for phase, seconds in times.items()},
        }

    def _collect(self) -> Trajectories:
        assert not isinstance(self.sampler, PerturbationSampler)
        noise = self.generators["action_noise"]
        if isinstance(self.sampler, VineSampler):
            branching = self.generators["branching"]
            return self.sampler.collect(self.policy, noise, self.value, branching)
        return self.sampler.collect(self.policy, noise)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything that decides the rest of the run: arrays under policy/, value/, algo/ and
        sampler/, and what JSON holds."""
        with self.processes.order("state"):
            return self._state()

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.processes.agreed():
            own = self.sampler.state()
        sampler, state = episodes.merge(self.processes.gather(own))
        parts = {name: part.state() for name, part in self._learners()} | {"sampler": sampler}
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
        """Go on where `state` was called, in a training of the same configuration, by any number
        of processes.

        Returns why the episodes in progress had to be given up, empty when they go on. Raises
        `UserError` when the state is that of another environment or configuration.
        """
        with self.processes.order("load_state"):
            return self._load_state(arrays, state)

    def _load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        processes = self.processes
        arrays, state = processes.broadcast((arrays, state))
        with processes.agreed():
            self._check_identity(state.get("belongs_to", {}))
            why = self._take_over(arrays, state)
        if why := next(filter(None, processes.gather(why)), ""):
            with processes.agreed():
                self.sampler.restart(self.generators["restarts"])
        return why

    def _take_over(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        """Returns why this process's episodes cannot go on."""

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
            return self.sampler.load_state(part("sampler"), state["sampler"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"the checkpoint does not fit this run ({type(error).__name__}: {error}); was it "
                "written by another version?"
            ) from error

    def follow(self) -> None:
        """Take part in whatever the first process begins, until it has done all."""
        while (order := self.processes.next_order()) != "end":
            with self.processes.order(order):
                if order == "iterate":
                    self._iterate()
                elif order == "state":
                    self._state()
                else:
                    self._load_state({}, {})

    def _learners(self) -> list[tuple[str, Any]]:
        learners = [("policy", self.policy), ("value", self.value), ("algo", self.algorithm)]
        return learners if self.baseline is None else [*learners, ("advantage", self.baseline)]

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
        try:
            self.processes.end()
        finally:
            self.sampler.close()


@dataclass(frozen=True)
class Ended:
    """The training episodes that ended in an iteration, in the order of their ends: raw returns
    and lengths. failed_simulations: how many of them ended because their simulation failed."""

    order: list[tuple[int, int]]
    returns: list[float]
    lengths: list[int]
    failed_simulations: int

    @staticmethod
    def in_(trajectories: Trajectories) -> Ended:
        first = trajectories.first_env
        return Ended(
            [(t, first + n) for t, n in trajectories.ends.tolist()],
            trajectories.episode_returns,
            trajectories.episode_lengths,
            trajectories.failed_simulations,
        )

    @staticmethod
    def of(parts: list[Ended]) -> Ended:
        """Those of all processes."""
        if len(parts) == 1:
            return parts[0]
        every = [e for p in parts for e in zip(p.order, p.returns, p.lengths, strict=True)]
        every.sort(key=lambda episode: episode[0])
        return Ended(
            [order for order, _, _ in every],
            [paid for _, paid, _ in every],
            [length for _, _, length in every],
            sum(part.failed_simulations for part in parts),
        )

    def metrics(self) -> dict[str, float | None]:
        returns, lengths = self.returns, self.lengths
        return {
            "train/return_mean": float(np.mean(returns)) if returns else None,
            "train/return_std": float(np.std(returns)) if returns else None,
            "train/length_mean": float(np.mean(lengths)) if lengths else None,
            "train/episodes": len(returns),
            "train/failed_simulations": self.failed_simulations,
        }
