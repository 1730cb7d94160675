"""Short rollouts from given moments, many side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trpo_cli.models.normalizer import IdentityNormalizer
from trpo_cli.simulators.base import Simulator, Snapshot

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


@dataclass(frozen=True)
class Rollouts:
    """What R rollouts gave.

    returns: (R,) float64, discounted sums of their rewards, and of V at the end where asked.
    steps: environment steps simulated, those of all rollouts together.
    ended: (R,) bool, the episode ended within the rollout.
    """

    returns: np.ndarray
    steps: int
    ended: np.ndarray


def roll_out(
    simulator: Simulator,
    policy: Policy,
    moments: Snapshot,
    actions: np.ndarray,
    noise: np.ndarray,
    discount: float,
    value: Callable[[np.ndarray], np.ndarray] | None = None,
    clip_rewards: bool = False,
    seeds: np.ndarray | None = None,
) -> Rollouts:
    """Q(s, a) of R states and actions by one rollout each of the policy, of L steps or to the end
    of the episode:

        sum_{l < L} gamma^l r_l  (+ gamma^L V(s_L) where the rollout was cut)

    moments: where each begins, R rows. actions: (R, A), the first of each, in the policy's units.
    noise: (L - 1, R, k), the random part of the others. seeds: (R,), of the simulators' own
    generators; None leaves them as they were kept. value: V of raw observations (n, *obs); None
    adds nothing. clip_rewards: sums the signs of the rewards. Where learning takes a lost life for
    an end, a rollout ends there.
    """
    count, width = len(actions), simulator.num_envs
    returns, ended, steps = np.zeros(count), np.zeros(count, dtype=bool), 0
    for start in range(0, count, width):
        rows = np.arange(start, min(start + width, count))
        wave = _Wave(simulator, policy, discount, value, clip_rewards)
        wave.run(
            moments.rows(rows),
            actions[rows],
            noise[:, rows],
            None if seeds is None else seeds[rows],
        )
        returns[rows], ended[rows] = wave.returns, wave.ended
        steps += wave.steps
    return Rollouts(returns, steps, ended)


class _Wave:
    """As many rollouts as the simulator has environments, or fewer."""

    def __init__(
        self,
        simulator: Simulator,
        policy: Policy,
        discount: float,
        value: Callable[[np.ndarray], np.ndarray] | None,
        clip_rewards: bool,
    ) -> None:
        self.simulator, self.policy, self.discount = simulator, policy, discount
        self._value, self._clip = value, clip_rewards
        self._images = isinstance(policy.normalizer, IdentityNormalizer)
        self.steps = 0

    def run(
        self, moments: Snapshot, actions: np.ndarray, noise: np.ndarray, seeds: np.ndarray | None
    ) -> None:
        simulator, policy, count = self.simulator, self.policy, len(actions)
        self.returns, self.ended = np.zeros(count), np.zeros(count, dtype=bool)
        alive, weight = np.arange(count), 1.0
        simulator.restore(moments, range(count))
        if seeds is not None:
            simulator.reseed(range(count), seeds.tolist())
        chosen = policy.to_env(actions)
        commands = np.zeros((simulator.num_envs, *chosen.shape[1:]), chosen.dtype)
        for step in range(len(noise) + 1):
            commands[alive] = chosen
            result = simulator.step(commands, alive if len(alive) < simulator.num_envs else None)
            self.steps += len(alive)
            rewards = result.rewards[alive]
            self.returns[alive] += weight * (np.sign(rewards) if self._clip else rewards)
            weight *= self.discount
            over = result.terminated | result.truncated
            if self._value is not None:
                self._add_values(weight, result.truncated, result.ended, result.final_observations)
            if result.lives_lost is not None:
                over = over | result.lives_lost
            self.ended[alive] = over[alive]
            alive = alive[~over[alive]]
            if not len(alive):
                return
            seen = self._seen(result.observations[alive])
            if step < len(noise):
                chosen = policy.to_env(policy.act(seen, noise[step, alive]))
        if self._value is not None:
            self.returns[alive] += weight * self._value(seen)

    def _add_values(
        self, weight: float, truncated: np.ndarray, ended: np.ndarray, final: np.ndarray
    ) -> None:
        """A time limit is no end of the task."""
        cut = truncated[ended]
        if cut.any():
            assert self._value is not None
            self.returns[ended[cut]] += weight * self._value(self._seen(final[cut]))

    def _seen(self, observations: np.ndarray) -> np.ndarray:
        return observations if self._images else observations.astype(np.float32)
