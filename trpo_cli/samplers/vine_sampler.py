"""Vine sampling (TRPO paper, section 5.2): a trunk, and rollouts of several actions along it.

    trunk      T steps of N environments under pi_old, as the single-path sampler collects them
    states     S of them, chosen before anything is simulated
    actions    K in each state, from a proposal q
    rollouts   M of each action: the action, then pi_old, L steps in all, giving Q(s, a)

With common random numbers the rollouts of a state's actions draw the same numbers, for the policy's
noise and in the simulator, so that differences of Q come from the actions alone: rollout m of
every action shares them, and different m do not.

All rollouts of an iteration run side by side in simulators of their own, as many together as
`width` says. The trunk's episodes go on undisturbed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.data.records import Branches, Trajectories
from trpo_cli.samplers.branching import choose_states, number_of_actions, uniform_actions
from trpo_cli.samplers.compiled import can_be_compiled, play_branches
from trpo_cli.samplers.rollouts import Rollouts, roll_out
from trpo_cli.samplers.single_path_sampler import SinglePathSampler
from trpo_cli.simulators.base import Simulator, Snapshot, together

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue
    from trpo_cli.simulators.mujoco.stepping import Simulations


class VineSampler:
    """Collects `Trajectories` with their `Branches`.

    config: the settings, `samplers.vine`. trunk: collects the trunk; its simulators' snapshots are
    restored into `branches`.
    discount, clip_rewards: what Q sums.
    """

    def __init__(
        self,
        trunk: SinglePathSampler,
        branches: Simulator,
        config: Any,
        discount: float,
        clip_rewards: bool = False,
    ) -> None:
        self.trunk, self.branches, self.config = trunk, branches, config
        self.simulators = trunk.simulators
        self._discount, self._clip_rewards = discount, clip_rewards
        self.num_actions = number_of_actions(config, branches.action_space)

    def collect(
        self,
        policy: Policy,
        generator: np.random.Generator,
        value: StateValue,
        branching: np.random.Generator,
    ) -> Trajectories:
        """One iteration's experience. generator: the trunk's noise; branching: all the rest."""
        config, trunk = self.config, self.trunk
        samples = trunk.steps * trunk.num_envs
        states = choose_states(config, samples, branching)
        moments = Moments(trunk, states)
        trajectories = trunk.collect(policy, generator, moments=moments)
        kept = moments.in_order()
        inputs = policy.normalize(trajectories.flat_observations)[states]
        actions, log_proposal = self._propose(policy, inputs, branching)
        found = self.estimate(policy, value, kept, actions, config, branching)
        steps, variance = found.steps, None
        count = min(config.compare_states, len(states))
        if count:
            some = np.sort(branching.choice(len(states), count, replace=False))
            tried = kept.rows(some), actions[some, :2]
            variance, more = self._compare(policy, value, *tried, branching)
            steps += more
        shape = (len(states), self.num_actions, config.rollouts_per_action)
        values = found.returns.reshape(shape).mean(axis=2)
        branches = Branches(
            states,
            actions,
            values.astype(np.float32),
            log_proposal,
            steps,
            variance,
            config.use_trunk,
        )
        return replace(trajectories, branches=branches)

    def estimate(
        self,
        policy: Policy,
        value: StateValue,
        moments: Snapshot,
        actions: np.ndarray,
        config: Any,
        generator: np.random.Generator,
    ) -> Rollouts:
        """Q by rollouts from kept moments: actions (S, K, A), M of each, in this order."""
        (count, k), m, length = actions.shape[:2], config.rollouts_per_action, config.horizon
        common = config.common_random_numbers
        kinds = (count, 1 if common else k, m)  # which rollouts have numbers of their own
        noise = policy.noise(generator, (length - 1, *kinds))
        noise = np.broadcast_to(noise, (length - 1, count, k, m, noise.shape[-1]))
        seeds = None
        if not (common and m == 1):  # with one common rollout the trunk's own numbers go on
            drawn = generator.integers(2**31, size=kinds)
            seeds = np.broadcast_to(drawn, (count, k, m)).reshape(-1)
        rows = np.repeat(np.arange(count), k * m)

        def predict(observations: np.ndarray) -> np.ndarray:
            return value.predict(value.to_device(policy.normalize(observations)))

        first = np.repeat(actions.reshape(count * k, -1), m, axis=0)
        noise = noise.reshape(length - 1, count * k * m, noise.shape[-1])
        judge = predict if config.bootstrap else None
        begun, clip = moments.rows(rows), self._clip_rewards
        if can_be_compiled(policy, self.branches):
            return play_branches(
                self.trunk.crew(policy), self.branches, policy, begun, first, noise,
                self._discount, judge, clip,
            )  # fmt: skip
        return roll_out(
            self.branches, policy, begun, first, noise, self._discount, judge, clip, seeds
        )

    def _compare(
        self,
        policy: Policy,
        value: StateValue,
        moments: Snapshot,
        actions: np.ndarray,
        generator: np.random.Generator,
    ) -> tuple[tuple[float, float], int]:
        """Variance of Q(s, a) - Q(s, a') over rollouts, mean over states: with common and with
        independent random numbers; and the steps that it took. Two rollouts of each give an
        unbiased estimate, (d_1 - d_2)^2 / 2."""
        variances, steps = [], 0
        for common in (True, False):
            config = replace(self.config, rollouts_per_action=2, common_random_numbers=common)
            found = self.estimate(policy, value, moments, actions, config, generator)
            returns = found.returns.reshape(len(actions), 2, 2)
            differences = returns[:, 0] - returns[:, 1]
            variances.append(float(np.mean((differences[:, 0] - differences[:, 1]) ** 2) / 2.0))
            steps += found.steps
        return (variances[0], variances[1]), steps

    def _propose(
        self, policy: Policy, inputs: Any, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Actions (S, K, A) and log q (S, K) up to a constant, at network inputs of S states."""
        count, k = len(inputs), self.num_actions
        head = policy.head
        if self.config.proposal == "all":
            every = np.arange(k).reshape(1, k, 1)
            return np.broadcast_to(every, (count, k, 1)).copy(), None
        if self.config.proposal == "uniform":
            return uniform_actions(policy, self.branches.action_space, (count, k), generator)
        repeated = policy.to_device(inputs[np.repeat(np.arange(count), k)])
        actions = policy.draw(repeated, head.noise(generator, (count * k,)))
        proposal = policy.tried(policy.to_device(inputs), k)
        log_prob = np.asarray(proposal.log_prob(policy.to_device(actions)))
        return actions.reshape(count, k, -1), log_prob.reshape(count, k)

    def metrics(self, records: Trajectories) -> dict[str, Any]:
        assert records.branches is not None
        return branch_metrics(records.branches, records.rewards.size)

    @property
    def why_not_restorable(self) -> str:
        return self.trunk.why_not_restorable

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """That of the trunk: rollouts do not outlive an iteration."""
        return self.trunk.state()

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        return self.trunk.load_state(arrays, state)

    def restart(self, generator: np.random.Generator) -> None:
        self.trunk.restart(generator)

    def close(self) -> None:
        self.trunk.close()
        self.branches.close()


class Moments:
    """Keeps the moments of the chosen states while the trunk grows."""

    def __init__(self, trunk: SinglePathSampler, states: np.ndarray) -> None:
        self._trunk, self._states = trunk, states
        self._wanted: dict[tuple[int, int], list[int]] = {}
        for t, n in zip(*divmod(states, trunk.num_envs), strict=True):
            group = next(g for g, part in enumerate(trunk.columns) if part.start <= n < part.stop)
            self._wanted.setdefault((int(t), group), []).append(int(n))
        self._kept: dict[tuple[int, int], Snapshot] = {}
        self._rows: Simulations | None = None

    def visit(self, t: int, group: int) -> None:
        envs = self._wanted.get((t, group))
        if envs:
            first = self._trunk.columns[group].start
            ids = [n - first for n in envs]
            self._kept[t, group] = self._trunk.simulators[group].snapshot(ids, portable=False)

    def for_compiled(self, simulator: Any) -> tuple[np.ndarray, Simulations]:
        trunk, states = self._trunk, self._states
        keep = np.full(trunk.steps * trunk.num_envs, -1)
        keep[states] = np.arange(len(states))
        self._rows = simulator.make_rows(len(states))
        return keep.reshape(trunk.steps, trunk.num_envs), self._rows

    def in_order(self) -> Snapshot:
        """All moments, by the number of their states: steps first, then environments."""
        if self._rows is not None:
            # No generators: what is stepped in compiled loops draws nothing before an episode ends.
            return Snapshot(self._rows._asdict(), [None] * len(self._states))
        return together([self._kept[key] for key in sorted(self._kept)])


def branch_metrics(branches: Branches, trunk_steps: int) -> dict[str, float | int | None]:
    """The rows of `vine/` that the update does not change."""
    spread = branches.values.std(axis=1)
    metrics: dict[str, float | int | None] = {
        "vine/trunk_steps": trunk_steps,
        "vine/branch_steps": branches.steps,
        "vine/q_std_within_states": float(spread.mean()),
        "vine/q_std_between_states": float(branches.values.mean(axis=1).std()),
    }
    if branches.difference_variance is not None:
        common, independent = branches.difference_variance
        metrics["vine/difference_variance_common"] = common
        metrics["vine/difference_variance_independent"] = independent
    return metrics
