"""Rewards in units of the deviation of the discounted return."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trpo_cli.config import Config, validate
from trpo_cli.data.records import Trajectories
from trpo_cli.errors import UserError
from trpo_cli.estimators.gae import GAEConfig
from trpo_cli.estimators.rewards import RewardScaler
from trpo_cli.samplers.vine import VineConfig

DISCOUNT = 0.9


def collected(envs, first_times=None):
    """Trajectories of so many environments, of which nothing but their place is looked at."""
    nothing: Any = np.zeros(0)
    first: Any = np.ones(envs) if first_times is None else np.array(first_times)
    return Trajectories(
        nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, [], [],
        first_times=first,
    )  # fmt: skip


def draw(seed=0, steps=40, envs=3):
    """Rewards of two batches, and where episodes end."""
    generator = np.random.default_rng(seed)
    rewards = generator.normal(1.0, 2.0, (2, steps, envs)).astype(np.float32)
    return rewards, generator.random((2, steps, envs)) < 0.1


def running_returns(rewards, over):
    """R of every step, each environment by itself, step by step."""
    found = np.zeros(rewards.shape)
    for n in range(rewards.shape[1]):
        total = 0.0
        for t in range(len(rewards)):
            total = DISCOUNT * total + rewards[t, n]
            found[t, n] = total
            if over[t, n]:
                total = 0.0
    return found


class TestRewardScaler:
    def test_by_hand(self):
        """R is 1, 2.9; then an end, and -1: their variance is that of (1, 2.9, -1)."""
        scaler = RewardScaler(DISCOUNT, bound=None)
        rewards = np.array([[1.0], [2.0], [-1.0]], dtype=np.float32)
        over = np.array([[False], [True], [False]])
        scaled = scaler(rewards, over, collected(1))
        np.testing.assert_allclose(scaled, rewards / np.std([1.0, 2.9, -1.0]), rtol=1e-6)

    def test_batches_go_on_from_one_another(self):
        """The second batch knows the statistics of both, over episodes that cross the border."""
        (first, second), over = draw()
        scaler = RewardScaler(DISCOUNT, bound=None)
        scaler(first, over[0], collected(3))
        scaled = scaler(second, over[1], collected(3))
        returns = running_returns(np.concatenate([first, second]), np.concatenate(over))
        np.testing.assert_allclose(scaled, second / returns.std(), rtol=1e-6)

    def test_new_episodes_begin_with_nothing(self):
        (first, second), over = draw()
        over[:] = False
        scaler = RewardScaler(DISCOUNT, bound=None)
        scaler(first, over[0], collected(3))
        scaled = scaler(second, over[1], collected(3, first_times=[0, 0, 0]))
        parts = [running_returns(rewards, over[0]) for rewards in (first, second)]
        np.testing.assert_allclose(scaled, second / np.std(parts), rtol=1e-6)

    def test_environments_of_several_processes(self):
        """Each process sees its own columns, and a sum over processes shares what they add."""
        (first, second), over = draw()
        scaler, source = RewardScaler(DISCOUNT, bound=None), collected(2)
        source = replace(source, first_env=1, all_envs=3)
        for rewards, ends in zip((first, second), over, strict=True):
            scaled = scaler(rewards[:, 1:], ends[:, 1:], source)
        assert scaler.state()["running"][0] == 0.0  # another process's
        own = np.concatenate([first, second])[:, 1:]
        returns = running_returns(own, np.concatenate(over)[:, 1:])
        np.testing.assert_allclose(scaled, second[:, 1:] / returns.std(), rtol=1e-6)

    def test_the_bound(self):
        (rewards, _), over = draw()
        free = RewardScaler(DISCOUNT, bound=None)(rewards, over[0], collected(3))
        scaled = RewardScaler(DISCOUNT, bound=0.5)(rewards, over[0], collected(3))
        assert abs(free).max() > 0.5
        np.testing.assert_array_equal(scaled, np.clip(free, -0.5, 0.5))

    def test_equal_returns_have_no_scale(self):
        rewards = np.full((5, 2), 3.0, dtype=np.float32)
        over = np.ones((5, 2), dtype=bool)
        scaled = RewardScaler(DISCOUNT, bound=None)(rewards, over, collected(2))
        np.testing.assert_array_equal(scaled, rewards)


def test_a_vine_refuses_it():
    parts: Any = {"sampler": VineConfig(), "advantage": GAEConfig(scale_rewards=True)}
    config = Config(**parts)
    with pytest.raises(UserError, match=r"advantage\.scale_rewards=true .* sampler=vine"):
        validate(config)
