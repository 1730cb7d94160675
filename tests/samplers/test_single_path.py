import itertools
import threading
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from trpo_cli.samplers.single_path_sampler import SinglePathSampler
from trpo_cli.simulators.base import Step

STEPS, SEEDS = 5, [40, 41, 42, 43]
WEIGHTS = np.array([[0.01], [1.0], [10.0]], dtype=np.float32)


def length(seed, episode):
    return 2 + (seed + episode) % 5


def is_cut(seed, episode):
    return (seed + episode) % 2 == 1


class Scripted:
    """Observes (seed, episode, time); pays the action plus 100 times the time. Episode lengths and
    kinds of end follow from seed and number. Its buffers are reused from step to step."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    failed_simulations = 0

    def __init__(self, num_envs, fails_at=None):
        self.num_envs, self.fails_at = num_envs, fails_at
        self.received, self.closed = [], False
        self._state = np.zeros((num_envs, 3))

    def reset(self, ids=None, seed=None):
        assert ids is None
        self._state[:] = [[s, 0, 0] for s in seed]
        return self._state

    def step(self, actions):
        if len(self.received) == self.fails_at:
            raise RuntimeError("out of batteries")
        self.received.append(actions.copy())
        rewards = actions[:, 0] + 100.0 * self._state[:, 2]
        self._state[:, 2] += 1
        over = np.array([t == length(s, e) for s, e, t in self._state])
        cut = np.array([is_cut(s, e) for s, e, _ in self._state])
        ended = np.flatnonzero(over)
        final = self._state[ended].copy()
        self._state[ended, 1] += 1
        self._state[ended, 2] = 0
        return Step(self._state, rewards, over & ~cut, over & cut, ended, final)

    def close(self):
        self.closed = True


class Follower:
    """action = weighted observation + noise; the environment gets twice that. Keeps what it saw
    and the threads that asked."""

    state_size = 0

    def __init__(self):
        self.seen, self.threads = [], set()

    def noise(self, generator, shape):
        return generator.normal(size=(*shape, 1)).astype(np.float32)

    def act(self, observations, noise):
        self.seen.append(observations.copy())
        self.threads.add(threading.get_ident())
        return observations @ WEIGHTS + noise

    def to_env(self, actions):
        return 2.0 * actions


def make_sampler(simulators, steps=STEPS, seeds=SEEDS, parallel=False) -> Any:
    return SinglePathSampler(simulators, steps, seeds, threads=2 if parallel else 1)


def collect(iterations, groups=1, parallel=False):
    simulators = [Scripted(len(SEEDS) // groups) for _ in range(groups)]
    sampler, policy = make_sampler(simulators, STEPS, SEEDS, parallel), Follower()
    generator = np.random.default_rng(0)
    result = [sampler.collect(policy, generator) for _ in range(iterations)]
    sampler.close()
    return result, simulators, policy


def expected_ends(iterations):
    """(t, n, final observation, return, length) of each episode end, one environment at a time."""
    actions = np.concatenate([part.actions for part in collect(iterations)[0]])
    ends = []
    for n, seed in enumerate(SEEDS):
        episode = time = 0
        total = 0.0
        for t in range(iterations * STEPS):
            total += 2.0 * float(actions[t, n, 0]) + 100.0 * time
            time += 1
            if time == length(seed, episode):
                ends.append((t, n, [seed, episode, time], total, time, is_cut(seed, episode)))
                episode, time, total = episode + 1, 0, 0.0
    return sorted(ends, key=lambda end: end[:2])


class TestCollect:
    def test_shapes_and_types(self):
        (part,), _, _ = collect(1)
        assert part.observations.shape == (STEPS, 4, 3)
        assert part.actions.shape == (STEPS, 4, 1)
        for field in (part.observations, part.rewards, part.final_observations):
            assert field.dtype == np.float32
        assert part.terminated.dtype == part.truncated.dtype == bool
        assert part.last_observations.shape == (4, 3)

    def test_stores_what_the_policy_saw_and_did(self):
        (part,), (simulator,), policy = collect(1)
        np.testing.assert_array_equal(part.observations, policy.seen)
        np.testing.assert_array_equal(2.0 * part.actions, simulator.received)
        noise = np.random.default_rng(0).normal(size=part.actions.shape).astype(np.float32)
        means = part.observations @ WEIGHTS
        np.testing.assert_allclose(part.actions, means + noise, rtol=1e-6)

    def test_every_row_is_one_simulated_step(self):
        parts, (simulator,), _ = collect(3)
        assert len(simulator.received) == 3 * STEPS
        assert sum(part.num_steps for part in parts) == 3 * STEPS * 4
        observations = np.concatenate([part.observations for part in parts])
        for n, seed in enumerate(SEEDS):
            rows = [(e, t) for e in range(20) for t in range(length(seed, e))][: 3 * STEPS]
            np.testing.assert_array_equal(
                observations[:, n], [[seed, episode, time] for episode, time in rows]
            )

    def test_rewards_and_ends_belong_to_their_rows(self):
        parts, _, _ = collect(3)
        ends = expected_ends(3)
        terminated = np.concatenate([part.terminated for part in parts])
        truncated = np.concatenate([part.truncated for part in parts])
        assert {end[5] for end in ends} == {True, False}
        for cut, flags in ((False, terminated), (True, truncated)):
            expected = [end[:2] for end in ends if end[5] == cut]
            assert [tuple(row) for row in np.argwhere(flags)] == expected
        actions = np.concatenate([part.actions for part in parts])
        times = np.concatenate([part.observations for part in parts])[..., 2]
        rewards = np.concatenate([part.rewards for part in parts])
        np.testing.assert_allclose(rewards, 2.0 * actions[..., 0] + 100.0 * times, rtol=1e-6)

    @pytest.mark.parametrize("groups", [1, 2, 4])
    def test_episodes_go_on_from_one_iteration_to_the_next(self, groups):
        """Ends, last sights, returns and lengths of whole episodes, in the order of t then n."""
        parts, _, _ = collect(4, groups)
        ends = expected_ends(4)
        assert any(end[4] > end[0] % STEPS + 1 for end in ends)  # some began an iteration earlier
        for index, part in enumerate(parts):
            own = [end for end in ends if index == end[0] // STEPS]
            assert part.ends.tolist() == [[t - index * STEPS, n] for t, n, *_ in own]
            np.testing.assert_array_equal(part.final_observations, [end[2] for end in own])
            assert part.episode_returns == pytest.approx([end[3] for end in own], rel=1e-6)
            assert part.episode_lengths == [end[4] for end in own]

    def test_the_next_iteration_begins_with_the_last_observations(self):
        parts, _, _ = collect(3)
        for before, after in itertools.pairwise(parts):
            np.testing.assert_array_equal(before.last_observations, after.observations[0])

    def test_no_ends_is_an_empty_record(self):
        sampler = make_sampler([Scripted(1)], 1, [40])
        part = sampler.collect(Follower(), np.random.default_rng(0))
        assert (part.ends.shape, part.final_observations.shape) == ((0, 2), (0, 3))
        assert part.episode_returns == part.episode_lengths == []

    @pytest.mark.parametrize(("groups", "parallel"), [(2, False), (2, True), (4, True)])
    def test_groups_and_threads_change_nothing(self, groups, parallel):
        reference = collect(3)[0]
        parts, simulators, policy = collect(3, groups, parallel)
        assert (threading.get_ident() in policy.threads) == (not parallel)
        for ours, theirs in zip(parts, reference, strict=True):
            for field, value in vars(theirs).items():
                np.testing.assert_array_equal(getattr(ours, field), value, err_msg=field)
        # Each group was stepped with its own columns.
        size = 4 // groups
        actions = np.concatenate([part.actions for part in parts])
        for group, simulator in enumerate(simulators):
            columns = slice(group * size, (group + 1) * size)
            np.testing.assert_array_equal(simulator.received, 2.0 * actions[:, columns])

    def test_a_record_outlives_the_next_iteration(self):
        sampler, policy = make_sampler([Scripted(4)]), Follower()
        generator = np.random.default_rng(0)
        part = sampler.collect(policy, generator)
        copies = {field: np.copy(value) for field, value in vars(part).items()}
        sampler.collect(policy, generator)
        for field, value in copies.items():
            np.testing.assert_array_equal(getattr(part, field), value, err_msg=field)

    @pytest.mark.parametrize("parallel", [False, True])
    def test_a_failing_simulator_is_heard(self, parallel):
        simulators = [Scripted(2), Scripted(2, fails_at=3)]
        sampler = make_sampler(simulators, parallel=parallel)
        with pytest.raises(RuntimeError, match="out of batteries"):
            sampler.collect(Follower(), np.random.default_rng(0))
        sampler.close()


class TestClose:
    def test_closes_every_simulator(self):
        assert all(simulator.closed for simulator in collect(1, 2, True)[1])
