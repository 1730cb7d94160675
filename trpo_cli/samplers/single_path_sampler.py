"""Trajectories by compiled loops, or step by step through the simulators' own methods."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trpo_cli.data.records import Trajectories
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.maths.noise import coloured
from trpo_cli.models.acting import Acting, nothing_remembered
from trpo_cli.models.heads import GaussianHead
from trpo_cli.models.normalizer import IdentityNormalizer
from trpo_cli.samplers.compiled import Crew, can_be_compiled, play_steps
from trpo_cli.samplers.episodes import Group, pack, take, unpack
from trpo_cli.samplers.recorders import FrameRecorder, Recorder, VectorRecorder
from trpo_cli.samplers.walks import Steps, Walk, joined
from trpo_cli.simulators.base import Simulator, shows_images

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue
    from trpo_cli.simulators.mujoco.stepping import Simulations


class Moments(Protocol):
    """States to be kept on the way."""

    def visit(self, t: int, group: int) -> None:
        """Called before each step t of a group, in its thread."""
        ...

    def for_compiled(self, simulator: Simulator) -> tuple[np.ndarray, Simulations]:
        """(T, N) int64, under which number the moment before a step is to be kept, -1 for those
        that are not; and where."""
        ...


class SinglePathSampler:
    """Collects `steps` steps from each environment of several simulators ("groups").

    A perceptron in MuJoCo's tasks runs in compiled loops (`samplers.compiled`). Otherwise each
    group is stepped by a thread of its own: while one group's physics runs, another group's policy
    is evaluated. A group touches nothing but its own columns, and the noise of an iteration is
    drawn beforehand for all: the result does not depend on the number of threads.

    Episodes go on from one iteration to the next.
    """

    def __init__(
        self,
        simulators: list[Simulator],
        steps: int,
        seeds: list[int],
        threads: int,
        first: int = 0,
        noise_beta: float = 0.0,
    ) -> None:
        """seeds: one per environment, of all processes. first: which of these environments is the
        first one here; noise is drawn for all of them, so that every process draws the same.
        noise_beta: the exponent of a Gaussian policy's noise, see `maths.noise`."""
        self.simulators, self.steps = simulators, steps
        self._first, self._all_envs = first, len(seeds)
        self._noise_beta = noise_beta
        sizes = [simulator.num_envs for simulator in simulators]
        ends = np.cumsum(sizes)
        self.columns = [slice(int(e - n), int(e)) for n, e in zip(sizes, ends, strict=True)]
        self.num_envs = int(ends[-1])
        self._own = slice(first, first + self.num_envs)
        self._start(seeds)
        self._closed = False
        self._threads = threads
        self._crew: Crew | None = None
        parallel = threads > 1 and len(simulators) > 1
        self._pool = ThreadPoolExecutor(len(simulators)) if parallel else None

    def _start(self, seeds: list[int]) -> None:
        """New episodes everywhere, one seed per environment of all processes."""
        seeds = seeds[self._own]
        self._observations = [
            np.array(simulator.reset(seed=seeds[columns]))
            for simulator, columns in zip(self.simulators, self.columns, strict=True)
        ]
        self._states = np.zeros((self.num_envs, 0), dtype=np.float32)
        """What the policy remembers, (N, S)."""
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)

    def collect(
        self,
        policy: Policy,
        generator: np.random.Generator,
        value: StateValue | None = None,
        branching: np.random.Generator | None = None,
        moments: Moments | None = None,
    ) -> Trajectories:
        """One iteration's experience: steps x environments samples. Neither a value function nor
        further random numbers are needed for it. moments: which ones to keep on the way.
        """
        failed, first_times = self._failed_simulations(), self._lengths.copy()
        noise = self._noise(policy, generator)[:, self._own]
        take = self._play if can_be_compiled(policy, self.simulators[0]) else self._step
        taken = take(policy, np.ascontiguousarray(noise), moments)
        return replace(
            taken,
            failed_simulations=self._failed_simulations() - failed,
            first_times=first_times,
            first_env=self._first,
            all_envs=self._all_envs,
        )

    def _noise(self, policy: Policy, generator: np.random.Generator) -> np.ndarray:
        """(steps, environments of all processes, k), every environment's by itself. Coloured noise
        begins anew with each iteration, so that there is nothing to remember."""
        if self._noise_beta and isinstance(policy.head, GaussianHead):
            white = policy.noise(generator, (2 * self.steps, self._all_envs))
            return coloured(white, self._noise_beta)
        return policy.noise(generator, (self.steps, self._all_envs))

    def _play(self, policy: Policy, noise: np.ndarray, moments: Moments | None) -> Trajectories:
        """In compiled loops."""
        record, ends = play_steps(
            self.crew(policy),
            self.simulators,
            policy,
            noise,
            self._returns,
            self._lengths,
            moments.for_compiled(self.simulators[0]) if moments is not None else None,
        )
        everything: list[Any] = self.simulators
        for simulator, columns in zip(everything, self.columns, strict=True):
            simulator.failed_simulations += int(record.failed[columns].sum())
        last = [simulator.simulations.observations for simulator in everything]
        for seen, now in zip(self._observations, last, strict=True):
            seen[...] = now
        finals = [end[4] for end in ends]
        shape = record.observations.shape[2:]
        return Trajectories(
            observations=record.observations,
            actions=record.actions,
            rewards=record.rewards,
            terminated=record.terminated,
            truncated=record.truncated,
            ends=np.array([end[:2] for end in ends], dtype=np.int64).reshape(-1, 2),
            final_observations=np.array(finals, dtype=np.float32).reshape(-1, *shape),
            last_observations=np.concatenate(last).astype(np.float32),
            episode_returns=[end[2] for end in ends],
            episode_lengths=[end[3] for end in ends],
        )

    def crew(self, policy: Policy) -> Crew:
        """The threads of the compiled loops; the first policy decides what they have room for."""
        if self._crew is None:
            self._crew = Crew(self.simulators[0], policy, self._threads)
        return self._crew

    def _step(self, policy: Policy, noise: np.ndarray, moments: Moments | None) -> Trajectories:
        """By way of the simulators' and the policy's own methods, a thread for each group."""
        if self._states.shape[1] != policy.state_size:
            self._states = nothing_remembered(policy, self.num_envs)
        recorders = self._recorders(policy)
        steps = Steps.empty(self.steps, self.num_envs, policy.state_size)

        def walk(group: int) -> Walk:
            return self._walk(group, policy, noise, recorders[group], steps, moments)

        run = map if self._pool is None else self._pool.map
        walks = list(run(walk, range(len(self.simulators))))
        return joined(steps, walks, recorders, self._states.copy())

    def _walk(
        self,
        group: int,
        policy: Policy,
        noise: np.ndarray,
        recorder: Recorder,
        steps: Steps,
        moments: Moments | None,
    ) -> Walk:
        """One group's steps."""
        simulator, columns = self.simulators[group], self.columns[group]
        current, first = self._observations[group], columns.start
        returns, lengths = self._returns[columns], self._lengths[columns]
        acting = Acting(policy, self._states[columns])
        taken, ends, forgotten = [], [], []
        for t in range(self.steps):
            if self._closed:  # by a main thread that was interrupted, and wants no result
                raise RuntimeError("The sampler was closed.")
            if moments is not None:
                moments.visit(t, group)
            steps.states[t, columns] = acting.states
            chosen = acting.act(recorder.seen(t, current), noise[t, columns])
            taken.append(chosen)
            try:
                step = simulator.step(policy.to_env(chosen))
            except RunFailed as error:
                error.arrays = {
                    **recorder.so_far(t),
                    "actions": np.stack(taken),
                    "rewards": steps.rewards[:t, columns],
                }
                raise
            recorder.moved(t, step)
            steps.write(t, columns, step)
            returns += step.rewards
            lengths += 1
            for i in step.ended:
                ends.append((t, first + int(i), float(returns[i]), int(lengths[i])))
                returns[i], lengths[i] = 0.0, 0
                forgotten.append(acting.states[i].copy())
            acting.forget(step.ended)
            current = step.observations
        self._observations[group][...] = current
        return Walk(np.stack(taken), ends, forgotten)

    def metrics(self, records: Trajectories) -> dict[str, Any]:
        return {}

    def _recorders(self, policy: Policy) -> Sequence[Recorder]:
        simulator = self.simulators[0]
        space = simulator.observation_space
        # An MLP takes images as it takes other numbers.
        if shows_images(space) and isinstance(policy.normalizer, IdentityNormalizer):
            shifts = simulator.frame_stack > 1
            return [FrameRecorder(self.steps, now, shifts) for now in self._observations]
        everything = np.empty((self.steps, self.num_envs, *space.shape), dtype=np.float32)
        return [VectorRecorder(everything, columns) for columns in self.columns]

    def _failed_simulations(self) -> int:
        return sum(simulator.failed_simulations for simulator in self.simulators)

    @property
    def why_not_restorable(self) -> str:
        """Why the episodes in progress cannot be saved; empty when they can."""
        return self.simulators[0].why_not_restorable

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The episodes in progress: arrays, and what JSON holds."""
        groups = zip(self._observations, self.simulators, strict=True)
        arrays, state = pack(
            [Group(seen, None if s.why_not_restorable else s.snapshot()) for seen, s in groups]
        )
        own: dict[str, np.ndarray] = {"returns": self._returns, "lengths": self._lengths}
        if self._states.size:
            own["memory"] = self._states
        return {**arrays, **own}, state

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        """Go on with the episodes of a saved state, that of all processes together; returns why
        that is not possible, or "". Then `restart`."""
        saved, found = unpack(arrays, state), []
        for simulator, columns in zip(self.simulators, self.columns, strict=True):
            group = take(saved, self._first + columns.start, simulator.num_envs)
            if group.snapshot is None:
                return simulator.why_not_restorable or "their state was not saved"
            try:
                simulator.restore(group.snapshot)
            except UserError as error:
                return str(error).rstrip(".")
            found.append(group.observations)
        self._observations = found
        self._returns[:] = arrays["returns"][self._own]
        self._lengths[:] = arrays["lengths"][self._own]
        if "memory" in arrays:
            self._states = arrays["memory"][self._own].copy()
        return ""

    def restart(self, generator: np.random.Generator) -> None:
        """New episodes everywhere, their seeds drawn from `generator`."""
        words = generator.integers(2**32, size=self._all_envs)
        self._start([int(word) for word in words])

    def close(self) -> None:
        self._closed = True
        for pool in (self._pool, self._crew):
            if pool is not None:
                pool.shutdown()
        for simulator in self.simulators:
            simulator.close()
