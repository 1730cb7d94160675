"""Trajectories of environments that live on a device, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trpo_cli.data.records import Trajectories
from trpo_cli.errors import UserError
from trpo_cli.maths.noise import coloured
from trpo_cli.models.heads import GaussianHead
from trpo_cli.samplers.episodes import Group, pack, take, unpack
from trpo_cli.seeding import on_device

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue
    from trpo_cli.simulators.device import DeviceSimulator


class DeviceSampler:
    """Collects `steps` steps from each of N environments that are stepped on a device.

    What the policy sees and does stays there. The host queues the steps of an iteration and waits
    once, at its end, for the rewards and the ends of episodes: two numbers and two bits a sample.

    Episodes go on from one iteration to the next. The first ones are cut at times that are spread
    over the time limit: thousands of environments that all are at the same step of their episode
    would show an iteration a small part of it only. What is left of such an episode is learned from
    and not reported. Noise comes from the device's own generator,
    begun anew in each iteration by a number of the run's: it is the same on a device of the same
    kind, and differs from the noise of the other samplers.
    """

    def __init__(
        self, simulator: DeviceSimulator, steps: int, seeds: list[int], noise_beta: float = 0.0
    ) -> None:
        """seeds: one per environment. noise_beta: the exponent of the noise, see `maths.noise`."""
        self.simulators: list[Any] = [simulator]
        self.simulator, self.steps, self._noise_beta = simulator, steps, noise_beta
        self._start(seeds)

    def _start(self, seeds: list[int]) -> None:
        simulator, envs = self.simulator, self.simulator.num_envs
        simulator.reset(seed=seeds)
        self._returns, self._lengths = np.zeros(envs), np.zeros(envs, dtype=np.int64)
        self._short = np.zeros(envs, dtype=bool)  # whose episode is cut before its time
        if limit := simulator.max_episode_steps:
            ahead = np.arange(envs) * limit // envs
            simulator.elapsed.copy_(torch.from_numpy(ahead))
            self._short = ahead > 0

    @torch.no_grad()
    def collect(
        self,
        policy: Policy,
        generator: np.random.Generator,
        value: StateValue | None = None,
        branching: np.random.Generator | None = None,
    ) -> Trajectories:
        """One iteration's experience: steps x environments samples, observations and actions as
        tensors. Neither a value function nor further random numbers are needed for it."""
        simulator, first_times = self.simulator, self._lengths.copy()
        failed = simulator.failed_simulations
        noise = self._noise(policy, generator)
        now = simulator.observations
        shape = (self.steps, simulator.num_envs)
        observations = now.new_empty((*shape, *now.shape[1:]))
        finals = torch.empty_like(observations)
        actions = torch.empty_like(noise)
        rewards = now.new_empty(shape)
        terminated, truncated = (now.new_empty(shape, dtype=torch.bool) for _ in range(2))
        for t in range(self.steps):
            observations[t] = simulator.observations
            actions[t] = policy.act_there(observations[t], noise[t])
            step = simulator.advance(policy.to_env(actions[t]))
            finals[t], rewards[t] = step.final_observations, step.rewards
            terminated[t], truncated[t] = step.terminated, step.truncated
        at = torch.nonzero(terminated | truncated)
        paid = rewards.cpu().numpy()
        ends = at.cpu().numpy()
        simulator.warn()
        returns, lengths = self._ended(paid, ends)
        return Trajectories(
            observations=observations,
            actions=actions,
            rewards=paid,
            terminated=terminated.cpu().numpy(),
            truncated=truncated.cpu().numpy(),
            ends=ends,
            final_observations=finals[at[:, 0], at[:, 1]],
            last_observations=simulator.observations.clone(),
            episode_returns=returns,
            episode_lengths=lengths,
            failed_simulations=simulator.failed_simulations - failed,
            first_times=first_times,
        )

    def _noise(self, policy: Policy, generator: np.random.Generator) -> Tensor:
        """(steps, N, k), on the device."""
        shape, device = (self.steps, self.simulator.num_envs), self.simulator.device
        if self._noise_beta:
            white = policy.noise(generator, (2 * self.steps, shape[1]))
            return torch.from_numpy(coloured(white, self._noise_beta)).to(device)
        assert isinstance(policy.head, GaussianHead), "these tasks' actions are boxes"
        own = on_device(generator, device)
        return torch.randn((*shape, policy.head.size), generator=own, device=device)

    def _ended(self, rewards: np.ndarray, ends: np.ndarray) -> tuple[list[float], list[int]]:
        """Returns and lengths of the whole episodes that ended, in their order."""
        returns, lengths = list[float](), list[int]()
        rows = np.searchsorted(ends[:, 0], np.arange(self.steps + 1))
        for t in range(self.steps):
            self._returns += rewards[t]
            self._lengths += 1
            over = ends[rows[t] : rows[t + 1], 1]
            whole = over[~self._short[over]]
            returns += self._returns[whole].tolist()
            lengths += self._lengths[whole].tolist()
            self._returns[over], self._lengths[over], self._short[over] = 0.0, 0, False
        return returns, lengths

    def metrics(self, records: Trajectories) -> dict[str, Any]:
        return {}

    @property
    def why_not_restorable(self) -> str:
        """Why the episodes in progress cannot be saved; empty when they can."""
        return self.simulator.why_not_restorable

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The episodes in progress: arrays, and what JSON holds."""
        seen = self.simulator.observations.cpu().numpy()
        arrays, state = pack([Group(seen, self.simulator.snapshot())])
        return {**arrays, "returns": self._returns, "lengths": self._lengths}, state

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        """Go on with the episodes of a saved state; returns why that is not possible, or "". Then
        `restart`."""
        saved = take(unpack(arrays, state), 0, self.simulator.num_envs)
        if saved.snapshot is None:
            return "their state was not saved"
        try:
            self.simulator.restore(saved.snapshot)
        except UserError as error:
            return str(error).rstrip(".")
        self._returns[:], self._lengths[:] = arrays["returns"], arrays["lengths"]
        self._short = self.simulator.elapsed.cpu().numpy() > self._lengths
        return ""

    def restart(self, generator: np.random.Generator) -> None:
        """New episodes everywhere, their seeds drawn from `generator`."""
        words = generator.integers(2**32, size=self.simulator.num_envs)
        self._start([int(word) for word in words])

    def close(self) -> None:
        self.simulator.close()
