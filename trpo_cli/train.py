"""The training loop: collect, estimate, update, fit, log, checkpoint."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trpo_cli.algos.base import Algorithm
from trpo_cli.algos.npg import NPG
from trpo_cli.algos.ppo import PPO
from trpo_cli.algos.trpo import TRPO
from trpo_cli.algos.vpg import VPG
from trpo_cli.config import Config, config_to_yaml
from trpo_cli.errors import RunFailed
from trpo_cli.estimates import estimate
from trpo_cli.evaluate import MAX_ENVS, evaluate
from trpo_cli.models.policies import Policy, build_policy
from trpo_cli.models.values import Value
from trpo_cli.records import Trajectories
from trpo_cli.runs import checkpoint, manifest
from trpo_cli.runs.directory import CONFIG, write_atomically
from trpo_cli.runs.logger import MetricsLogger
from trpo_cli.runs.progress import Progress
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
        self.threads = config.threads or available_cores()
        groups = config.sampler.groups
        size = config.sampler.num_envs // groups
        per_group = max(1, self.threads // groups)
        simulators = [make_simulator(config.env, size, per_group) for _ in range(groups)]
        self.sampler = SinglePathSampler(
            simulators,
            config.sampler.steps_per_env,
            environment_seeds(seed, config.sampler.num_envs),
            parallel=self.threads > 1 and groups > 1,
        )
        self.simulator = simulators[0]
        spaces = self.simulator.observation_space, self.simulator.action_space
        device = "cuda" if config.device == "cuda" else "cpu"
        self.policy = build_policy(config.policy, *spaces, stream(seed, "policy_init"), device)
        features = int(np.prod(spaces[0].shape))
        self.value = Value(config.value, features, stream(seed, "value_init"))
        self.algorithm = build_algorithm(config.algo, self.policy)
        names = ("action_noise", "policy_minibatches", "value_minibatches")
        self.generators = {name: stream(seed, name) for name in names}
        self.step = self.iteration = 0
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.clock = Clock()

    def iterate(self) -> dict[str, Any]:
        """Collect one batch, learn from it, and return the row of metrics."""
        config, clock, generators = self.config, self.clock, self.generators
        remaining = 1.0 - self.step / config.total_steps
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
            **times,
        }

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint holds, under policy/, value/ and algo/."""
        parts = {"policy": self.policy, "value": self.value, "algo": self.algorithm}
        return {f"{name}/{k}": v for name, part in parts.items() for k, v in part.state().items()}

    def close(self) -> None:
        self.sampler.close()


def train(config: Config, run_dir: Path, command: list[str]) -> None:
    """Run one configuration to its end, into an empty run directory.

    Raises `UserError` before anything is written, `RunFailed` after that.
    """
    training = Training(config)
    evaluator = Evaluator(config, training.threads) if config.eval.episodes else None
    facts = {
        "seed": training.seed,
        "device": "cuda" if config.device == "cuda" else "cpu",
        "backend": training.simulator.backend,
        "threads": training.threads,
    }
    record = manifest.start(run_dir, command=command, **facts)
    write_atomically(run_dir / CONFIG, config_to_yaml(config).encode())
    logger = MetricsLogger(run_dir, {key: value for key, _, value in walk(config)})
    size = len(training.policy.parameters) + len(training.value.parameters)
    limit = training.simulator.max_episode_steps
    progress = Progress(
        config, {**facts, "parameters": size, "max_episode_steps": limit}, run_dir
    )
    progress.banner()
    status, reason, evaluation = "failed", None, None
    try:
        while training.step < config.total_steps:
            before = training.step
            row = training.iterate()
            check_finite(training)
            logger.write(row)
            progress.update(row)
            if due(config.checkpoint.every, before, training.step):
                save(training, run_dir)
            last = training.step >= config.total_steps
            if evaluator and (last or due(config.eval.every, before, training.step)):
                evaluation = evaluator.run(training.policy, training.step)
                logger.write_eval(evaluation)
        logger.flush()
        save(training, run_dir)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        record.finish(status, reason, training.step)
        logger.close(status == "finished")
        progress.summary(status, reason, evaluation, training.clock.total)
        training.close()


class Evaluator:
    """Evaluates on simulators and seeds of its own: training does not notice."""

    def __init__(self, config: Config, threads: int) -> None:
        self.config = config
        envs = min(config.eval.episodes, MAX_ENVS)
        self.simulator = make_simulator(config.env, envs, threads)

    def run(self, policy: Policy, step: int) -> dict[str, Any]:
        """One record of eval.jsonl: the same episode seeds and noise at every step."""
        config = self.config
        assert config.seed is not None
        generator = stream(config.seed, "evaluation")
        seeds = [int(s) for s in generator.integers(2**31, size=config.eval.episodes)]
        result = evaluate(
            policy,
            self.simulator,
            config.eval.episodes,
            config.eval.deterministic,
            seeds,
            generator,
        )
        return result.record(step)


class Clock:
    """Seconds by phase of an iteration."""

    def __init__(self) -> None:
        self.total = 0.0
        self._start = time.perf_counter()
        self._phases: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._phases[phase] = self._phases.get(phase, 0.0) + time.perf_counter() - start

    def lap(self) -> tuple[dict[str, float], float]:
        """`time/...` of the iteration that ends now, and its length."""
        now = time.perf_counter()
        elapsed = now - self._start
        self._start, self.total = now, self.total + elapsed
        phases, self._phases = self._phases, {}
        phases["other"] = elapsed - sum(phases.values())
        return {f"time/{name}": seconds for name, seconds in phases.items()}, elapsed


def build_algorithm(config: Any, policy: Policy) -> Algorithm:
    """The update rule that a configuration names."""
    match config.name:
        case "vpg":
            return VPG(config, policy)
        case "npg":
            return NPG(config)
        case "trpo":
            return TRPO(config)
        case "ppo":
            return PPO(config, policy)
    raise ValueError(f"no algorithm is called {config.name}")


def episode_metrics(trajectories: Trajectories) -> dict[str, float | None]:
    """Raw returns and lengths of the training episodes that ended in this iteration."""
    returns, lengths = trajectories.episode_returns, trajectories.episode_lengths
    return {
        "train/return_mean": float(np.mean(returns)) if returns else None,
        "train/return_std": float(np.std(returns)) if returns else None,
        "train/length_mean": float(np.mean(lengths)) if lengths else None,
        "train/episodes": len(returns),
    }


def check_finite(training: Training) -> None:
    """Stop a run whose parameters are no numbers any more: nothing can be learned from there."""
    for name, parameters in (
        ("policy", training.policy.parameters),
        ("value function", training.value.parameters),
    ):
        if not math.isfinite(float(abs(parameters).max())):
            raise RunFailed(
                f"the {name} has parameters that are not finite after step {training.step}; "
                "a smaller step size (algo.* or value.learning_rate) usually helps."
            )


def save(training: Training, run_dir: Path) -> None:
    """Write the checkpoint of this step and let `last` point to it."""
    folder = checkpoint.path(run_dir, training.step)
    state = {"step": training.step, "iteration": training.iteration}
    checkpoint.save(folder, training.tensors(), state)
    checkpoint.point(run_dir, "last", training.step)
    checkpoint.prune(run_dir, training.config.checkpoint.keep)


def due(every: int, before: int, now: int) -> bool:
    """Whether a multiple of `every` steps lies in (before, now]; 0 means never."""
    return bool(every) and now // every > before // every


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
