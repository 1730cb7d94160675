"""Our own training, whole iterations of it, and the vine's rollouts alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmark.worker import Lap, Work
from trpo_cli.env_ids import is_game

SAME_PHYSICS = "same physics"
"""Beside the phases: what the physics of the same steps takes alone, see `benchmark.replay`."""


def training(env: str, algo: str, settings: Sequence[str]) -> Work:
    """Iterations with default settings but those given; phases as the rows of metrics have them."""
    from benchmark.replay import Replay
    from trpo_cli.commands.hydra.compose import config_of
    from trpo_cli.training.trainer import Training

    one = () if is_game(env) else ("sampler.groups=1",)  # makes no difference in compiled loops
    training = Training(config_of(f"algo={algo}", f"env={env}", "seed=0", *one, *settings))
    replay = None if is_game(env) else Replay(training)

    def work() -> Lap:
        before, began = training.step, time.perf_counter()
        row = training.iterate()
        seconds = time.perf_counter() - began
        phases = {k.removeprefix("time/"): v for k, v in row.items() if k.startswith("time/")}
        if replay is not None:
            phases[SAME_PHYSICS] = replay.seconds()
        return Lap(training.step - before, seconds, phases)

    return work


def vine(env: str) -> Work:
    """Only the rollouts count: from 256 states, 4 actions, 50 steps."""
    from trpo_cli.commands.hydra.compose import config_of
    from trpo_cli.training.trainer import Training

    training: Any = Training(
        config_of(
            "algo=trpo", f"env={env}", "seed=0", "sampler=vine", "sampler.rollout_states=256",
            "sampler.horizon=50", "sampler.bootstrap=false",
        )
    )  # fmt: skip
    estimate = training.sampler.estimate
    steps, seconds = 0, 0.0

    def timed(*arguments: Any) -> Any:
        nonlocal steps, seconds
        began = time.perf_counter()
        rollouts = estimate(*arguments)
        seconds += time.perf_counter() - began
        steps += rollouts.steps
        return rollouts

    training.sampler.estimate = timed

    def work() -> Lap:
        nonlocal steps, seconds
        steps, seconds = 0, 0.0
        training.iterate()
        return Lap(steps, seconds)

    return work
