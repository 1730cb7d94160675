"""The state of a training run: its components, counters and random streams."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from trpo_cli.config import Config
from trpo_cli.data.states import join, part
from trpo_cli.distributed.processes import ALONE, Processes, processes_here
from trpo_cli.errors import UserError
from trpo_cli.samplers import episodes
from trpo_cli.samplers.base import World
from trpo_cli.seeding import stream
from trpo_cli.system.clock import Clock
from trpo_cli.system.machine import usable_cores
from trpo_cli.training.build import Prepared, build, prepare
from trpo_cli.training.identity import check_identity, identity
from trpo_cli.training.trainers import make_trainer

RECENT_EPISODES = 100
STREAMS = ("action_noise", "policy_minibatches", "value_minibatches", "restarts", "branching")


class Training:
    """Everything that one run keeps between iterations.

    Of several processes each has one, with some of the environments; all else is the same in all.
    What the first one's `iterate`, `state` and `load_state` begin, the others do in `follow`.
    """

    def __init__(self, config: Config | Prepared, processes: Processes = ALONE) -> None:
        prepared = config if isinstance(config, Prepared) else prepare(config)
        self.config = config = prepared.config
        assert config.seed is not None, "the command line draws a seed when none is given"
        self.processes, self.seed = processes, config.seed
        self.threads = config.threads or max(1, usable_cores() // processes_here())
        world = World(self.seed, self.threads, processes)
        self.parts = parts = build(prepared, world)
        self.sampler, self.policy, self.value = parts.sampler, parts.policy, parts.value
        self.simulator = parts.sampler.simulators[0]
        clip_rewards = prepared.emulated and config.env.atari.clip_rewards
        self._trainer = make_trainer(parts, world, clip_rewards)
        self.generators = {name: stream(self.seed, name) for name in STREAMS}
        self.step = self.iteration = self.failed_simulations = 0
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.clock = Clock()

    def iterate(self) -> dict[str, Any]:
        """Collect one batch, learn from it, and return the row of metrics."""
        with self.processes.order("iterate"):
            return self._iterate()

    def _iterate(self) -> dict[str, Any]:
        self.clock.start()
        learned = self._trainer.iterate(self.generators, self.clock, self.step)
        ended = learned.ended
        self.step += learned.steps
        self.iteration += 1
        self.recent.extend(ended.returns)
        self.failed_simulations += ended.failed_simulations
        times, elapsed = self.clock.lap()
        return {
            "step": self.step,
            "iteration": self.iteration,
            "seconds": self.clock.total,
            "steps_per_second": learned.steps / elapsed,
            **ended.metrics(),
            "train/return_recent": float(np.mean(self.recent)) if self.recent else None,
            **learned.metrics,
            **{f"time/{phase}": seconds for phase, seconds in times.items()},
        }

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything that decides the rest of the run: arrays under policy/, value/, algo/,
        advantage/, rewards/, earlier/ and sampler/, and what JSON holds."""
        with self.processes.order("state"):
            return self._state()

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.processes.agreed():
            own = self.sampler.state()
        sampler, state = episodes.merge(self.processes.gather(own))
        parts = {name: learner.state() for name, learner in self._learners().items()}
        parts["sampler"] = sampler
        return join(parts), {
            "belongs_to": identity(self.config, self.simulator),
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
            check_identity(state.get("belongs_to", {}), identity(self.config, self.simulator))
            why = self._take_over(arrays, state)
        if why := next(filter(None, processes.gather(why)), ""):
            with processes.agreed():
                self.sampler.restart(self.generators["restarts"])
        return why

    def start_from(self, arrays: dict[str, np.ndarray]) -> None:
        """Begin with what another run has learned: arrays under policy/, value/ and rewards/, of
        those learners that are to be as they were there."""
        with self.processes.order("start_from"):
            self._start_from(arrays)

    def _start_from(self, arrays: dict[str, np.ndarray]) -> None:
        arrays = self.processes.broadcast(arrays)
        with self.processes.agreed():
            try:
                for name, learner in self._learners().items():
                    if state := part(arrays, name):
                        learner.load_state(state)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise UserError(
                    f"init={self.config.init} does not fit this run ({type(error).__name__}: "
                    f"{error}); was it written by another version?"
                ) from error

    def _take_over(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        """Returns why this process's episodes cannot go on."""

        try:
            for name, learner in self._learners().items():
                learner.load_state(part(arrays, name))
            for name, generator in self.generators.items():
                generator.bit_generator.state = state["generators"][name]
            self.step, self.iteration = state["step"], state["iteration"]
            self.recent.extend(state["recent"])
            self.failed_simulations = state.get("failed_simulations", 0)
            self.clock.go_on(state["seconds"])
            return self.sampler.load_state(part(arrays, "sampler"), state["sampler"])
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
                elif order == "start_from":
                    self._start_from({})
                else:
                    self._load_state({}, {})

    def _learners(self) -> dict[str, Any]:
        """What learns or remembers, by its place in a checkpoint."""
        parts = self.parts
        learners = {
            "policy": parts.policy,
            "value": parts.value,
            "algo": parts.rule,
            "advantage": parts.estimator,
        }
        also = {"rewards": parts.scaler, "earlier": parts.earlier}
        return learners | {name: learner for name, learner in also.items() if learner is not None}

    def close(self) -> None:
        try:
            self.processes.end()
        finally:
            self.sampler.close()
