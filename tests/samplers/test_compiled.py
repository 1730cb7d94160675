"""Compiled rollouts against the simulators' and the policy's own methods."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import EnvConfig
from trpo_cli.data.records import Trajectories
from trpo_cli.samplers import compiled
from trpo_cli.samplers.vine_sampler import Moments
from trpo_cli.samplers.whole_episodes import Watched, _play, _step
from trpo_cli.simulators.make import make_simulator
from trpo_cli.training.trainer import Training

ENVS, STEPS = 5, 40


def training(env: str = "Hopper-v4", *settings: str) -> Any:
    return Training(config_of(
        f"env={env}", "seed=3", "threads=1", f"sampler.num_envs={ENVS}",
        f"sampler.steps_per_env={STEPS}", *settings,
    ))  # fmt: skip


def used(made: Any) -> Any:
    """A training whose normaliser knows something."""
    made.iterate()
    return made


def collected(made: Any, moments: Any = None) -> Trajectories:
    result: Trajectories = made.sampler.collect(
        made.policy, np.random.default_rng(5), moments=moments
    )
    return result


def same(one: Trajectories, other: Trajectories) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(other, name), value, err_msg=name)


class TestPlay:
    @pytest.mark.parametrize(
        ("env", "actions", "log_std"),
        [
            ("Hopper-v4", "rescale", "shared"),
            ("HalfCheetah-v5", "rescale", "shared"),
            ("InvertedPendulum-v4", "rescale", "state"),
            ("Reacher-v4", "squash", "state"),
        ],
    )
    def test_is_what_the_simulator_does_with_these_actions(
        self, env: str, actions: str, log_std: str
    ) -> None:
        """Bit for bit, across the ends of episodes; and the actions are the policy's."""
        settings = f"sampler.groups=1 env.max_episode_steps=33 policy.actions={actions}"
        settings += f" policy.log_std={log_std} policy.output_gain=1"
        if log_std == "state":
            settings += " policy.layer_norm=true"
        made = used(training(env, *settings.split()))
        simulator = make_simulator(made.config.env, ENVS, 1)
        shown = simulator.restore(made.sampler.simulators[0].snapshot()).copy()
        noise = made.policy.noise(np.random.default_rng(5), (STEPS, ENVS))
        record, finals = collected(made), []
        assert len(record.ends) >= ENVS
        for t in range(STEPS):
            np.testing.assert_array_equal(record.observations[t], shown.astype(np.float32))
            acted = made.policy.act(record.observations[t], noise[t])
            # The network's sums are ordered otherwise: float32 rounding of numbers of order one.
            np.testing.assert_allclose(record.actions[t], acted, atol=2e-6)
            step = simulator.step(made.policy.to_env(record.actions[t]))
            np.testing.assert_array_equal(record.rewards[t], step.rewards.astype(np.float32))
            np.testing.assert_array_equal(record.terminated[t], step.terminated)
            np.testing.assert_array_equal(record.truncated[t], step.truncated)
            finals += [final.astype(np.float32) for final in step.final_observations]
            shown = step.observations
        np.testing.assert_array_equal(record.last_observations, shown.astype(np.float32))
        np.testing.assert_array_equal(record.final_observations, finals)

    @pytest.mark.parametrize(
        "settings",
        [
            ("policy.actions=raw",),
            ("policy.actions=clip", "policy.activation=silu", "policy.hidden_sizes=[20]"),
            ("policy=linear", "policy.bias=false"),
            ("policy.normalize_observations=false", "policy.hidden_sizes=[8,24,8]"),
            ("policy.observation_clip=0.1",),
        ],
    )
    def test_actions_are_the_policys(self, settings: tuple[str, ...]) -> None:
        made = used(training("Hopper-v4", *settings))
        noise = made.policy.noise(np.random.default_rng(5), (STEPS, ENVS))
        record = collected(made)
        seen = record.flat_observations
        acted = made.policy.act(seen, noise.reshape(STEPS * ENVS, -1))
        scale = np.abs(acted).max()
        np.testing.assert_allclose(record.actions.reshape(acted.shape), acted, atol=4e-6 * scale)

    @pytest.mark.parametrize(("threads", "groups"), [(2, 1), (3, 2), (2, 5)])
    def test_threads_and_groups_change_nothing(self, threads: int, groups: int) -> None:
        reference = used(training("Hopper-v4", "sampler.groups=1"))
        made = used(training("Hopper-v4", f"threads={threads}", f"sampler.groups={groups}"))
        same(collected(reference), collected(made))

    def test_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alone = used(training("Hopper-v4"))
        monkeypatch.setattr(compiled, "SMALL_NETWORK", 0)
        monkeypatch.setattr(compiled, "BLOCK", 3)
        blocks = used(training("Hopper-v4"))
        assert blocks.sampler.crew(blocks.policy).block == 3
        same(collected(alone), collected(blocks))

    def test_keeps_the_moments_that_the_simulator_would(self) -> None:
        made = used(training("Hopper-v4", "sampler.groups=2"))
        states = np.array([0, 7, 8, 50, 51, STEPS * ENVS - 1])
        moments = Moments(made.sampler, states)
        simulator = make_simulator(made.config.env, ENVS, 1)
        own = [part.snapshot() for part in made.sampler.simulators]
        for part, columns in zip(own, made.sampler.columns, strict=True):
            simulator.restore(part, range(columns.start, columns.stop))
        record, kept = collected(made, moments), moments.in_order()
        for t in range(STEPS):
            for number in np.flatnonzero(states // ENVS == t):
                expected = simulator.snapshot([states[number] % ENVS])
                for name, value in expected.arrays.items():
                    np.testing.assert_array_equal(kept.arrays[name][number], value[0], name)
            simulator.step(made.policy.to_env(record.actions[t]))

    def test_a_failed_simulation_ends_its_episode(self) -> None:
        made = used(training("HalfCheetah-v4", "sampler.groups=1"))
        simulator: Any = made.sampler.simulators[0]
        before = simulator.simulations.observations[1].astype(np.float32)
        simulator.simulations.state[1] = 1e12
        record = collected(made)
        assert record.failed_simulations == simulator.failed_simulations == 1
        assert record.terminated[0].tolist() == [False, True, False, False, False]
        assert record.rewards[0, 1] == 0.0
        np.testing.assert_array_equal(record.final_observations[0], before)


def test_ctrl_c_ends_all_threads() -> None:
    """The process waits for them, and what they had left to do may take hours."""
    made = training()
    crew = compiled.Crew(made.simulator, made.policy, threads=2)
    began, seconds = time.monotonic(), 5.0

    def do(task: int, *_: Any) -> int | None:
        time.sleep(0.01)
        return task if time.monotonic() < began + seconds else None

    interrupting = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        crew.share([1, 2, 3], do)
    crew.shutdown()
    made.close()
    assert time.monotonic() < began + 0.8 * seconds


class TestEpisodes:
    def run(self, how: Callable[..., Any], made: Any, envs: int, threads: int, noisy: bool) -> Any:
        simulator = make_simulator(EnvConfig("Hopper-v4", max_episode_steps=25), envs, threads)
        generators = np.random.default_rng(1).spawn(7) if noisy else None
        each, watched = lambda *told: None, Watched(0)
        return how(made.policy, simulator, list(range(7)), generators, None, each, watched)

    @pytest.mark.parametrize("noisy", [False, True])
    def test_are_those_of_the_simulator(self, noisy: bool) -> None:
        made = used(training("Hopper-v4"))
        compiled_loop = self.run(_play, made, 3, 1, noisy)
        stepped = self.run(_step, made, 3, 1, noisy)
        # A step's rounding grows along the trajectory, over 25 steps to a small part of a reward.
        np.testing.assert_allclose(compiled_loop[0], stepped[0], rtol=1e-3)
        np.testing.assert_array_equal(compiled_loop[1], stepped[1])
        np.testing.assert_array_equal(compiled_loop[2], stepped[2])

    @pytest.mark.parametrize("how", [_play, _step])
    def test_depend_neither_on_environments_nor_on_threads(self, how: Callable[..., Any]) -> None:
        """numpy's matrix product of more rows may round otherwise."""
        made = used(training("Hopper-v4"))
        reference = self.run(how, made, 1, 1, True)
        for envs, threads in ((4, 1), (7, 2)):
            found = self.run(how, made, envs, threads, True)
            tolerance = 0.0 if how is _play else 1e-3
            np.testing.assert_allclose(found[0], reference[0], rtol=tolerance)
            np.testing.assert_array_equal(found[1], reference[1])

    def test_are_cut_at_the_limit(self) -> None:
        made = used(training("HalfCheetah-v4"))
        simulator = make_simulator(EnvConfig("HalfCheetah-v4"), 2, 2)
        found = _play(made.policy, simulator, [1, 2, 3], None, 300, lambda *told: None, Watched(0))
        assert found[1].tolist() == [300] * 3 and found[2].tolist() == [True] * 3

    def test_tell_what_they_did(self) -> None:
        made, told = used(training("HalfCheetah-v4")), [0, 0]

        def each(ended: int, steps: int) -> None:
            told[0] += ended
            told[1] += steps

        simulator = make_simulator(EnvConfig("HalfCheetah-v4", max_episode_steps=600), 2, 1)
        _play(made.policy, simulator, [1, 2], None, None, each, Watched(0))
        assert told == [2, 1200]
