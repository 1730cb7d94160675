"""Trajectories of environments on a device: those that the other sampler collects there."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.on_device import OnDevice
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.data.records import Trajectories
from trpo_cli.models.policy import Policy
from trpo_cli.samplers.device_sampler import DeviceSampler
from trpo_cli.samplers.single_path_sampler import SinglePathSampler
from trpo_cli.simulators.make import make_simulator
from trpo_cli.training.build import TENSORS_ON_CPU, build_policy, prepare

STEPS, ENVS, SEEDS = 30, 5, [3, 1, 4, 1, 5]


def made(*words: str) -> tuple[Any, Policy]:
    """A simulator whose episodes end soon, and a policy on tensors."""
    config = prepare(
        config_of("env=Hopper-v4", "env.max_episode_steps=12", "policy.hidden_sizes=[8]", *words)
    ).config
    simulator = make_simulator(config.env, ENVS, 1)
    return simulator, build_policy(config, simulator, np.random.default_rng(0), TENSORS_ON_CPU)


def collected(sampler: Any, policy: Policy, times: int = 2) -> list[Trajectories]:
    generator = np.random.default_rng(7)
    return [sampler.collect(policy, generator) for _ in range(times)]


@pytest.mark.parametrize("actions", ["rescale", "clip", "squash"])
def test_trajectories_are_those_of_the_other_sampler(
    actions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, policy = made(f"policy.actions={actions}", "policy.init_log_std=0.5")
    there = DeviceSampler(OnDevice(simulator), STEPS, SEEDS)
    monkeypatch.setattr(
        there,
        "_noise",
        lambda policy, generator: torch.from_numpy(policy.noise(generator, (STEPS, ENVS))),
    )
    there.simulator.elapsed.zero_()  # of the first episodes, none is cut before its time
    there._short[:] = False
    here = SinglePathSampler([made()[0]], STEPS, SEEDS, 1)
    for a, b in zip(collected(there, policy), collected(here, policy), strict=True):
        for field in dataclasses.fields(a):
            one, other = getattr(a, field.name), getattr(b, field.name)
            if field.name in ("first_env", "all_envs"):
                continue
            if one is None:
                assert other is None, field.name
                continue
            # Actions are bounded in float32 on a device: 1e-7, which 30 steps may multiply.
            np.testing.assert_allclose(
                np.asarray(one), np.asarray(other), rtol=2e-4, atol=2e-4, err_msg=field.name
            )
        assert len(a.ends) > ENVS
        assert isinstance(a.observations, torch.Tensor) and isinstance(a.actions, torch.Tensor)


def test_first_episodes_are_cut_at_times_that_are_spread() -> None:
    simulator, policy = made("env.kwargs={terminate_when_unhealthy: false}")
    sampler = DeviceSampler(OnDevice(simulator), STEPS, SEEDS)
    found = collected(sampler, policy, 1)[0]
    # Of 12 steps, environment i of 5 has 12 i // 5 behind it.
    first = {n: t + 1 for t, n in reversed(found.ends.tolist())}
    assert first == {n: 12 - 12 * n // ENVS for n in range(ENVS)}
    assert len(found.ends) > len(found.episode_lengths) and set(found.episode_lengths) == {12}


def test_noise_is_the_runs_own_and_goes_on() -> None:
    simulator, policy = made()
    sampler = DeviceSampler(OnDevice(simulator), STEPS, SEEDS)
    first, second = collected(sampler, policy)
    sampler.restart(np.random.default_rng(0))
    sampler._start(SEEDS)
    again = collected(sampler, policy)[0]
    assert torch.equal(first.actions, again.actions)
    assert not torch.equal(first.actions, second.actions)


def test_saved_episodes_go_on() -> None:
    simulator, policy = made()
    sampler = DeviceSampler(OnDevice(simulator), STEPS, SEEDS)
    collected(sampler, policy)
    arrays, state = sampler.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    expected = collected(sampler, policy)[0]
    other = DeviceSampler(OnDevice(made()[0]), STEPS, [9] * ENVS)
    assert other.load_state(arrays, state) == ""
    found = collected(other, policy)[0]
    assert torch.equal(found.actions, expected.actions)
    assert found.episode_returns == expected.episode_returns
    assert found.episode_lengths == expected.episode_lengths
