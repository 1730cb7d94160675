"""The memory of an update's observations: counted, printed, refused."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.support.cli_stub import Cli
from trpo_cli.config import Config
from trpo_cli.errors import UserError
from trpo_cli.models.policies.gru import GRUPolicyConfig
from trpo_cli.samplers.recorders import FrameRecorder
from trpo_cli.samplers.single_path import SinglePathConfig
from trpo_cli.training import memory
from trpo_cli.training.memory import (
    check_memory,
    evaluation_bytes,
    memory_needed,
    observation_bytes,
    size_in_words,
)

ROOT = Path(__file__).parents[2]


def simulator(shape, dtype, frame_stack=1):
    space = spaces.Box(0, 255, shape, dtype)
    return SimpleNamespace(observation_space=space, frame_stack=frame_stack, backend="atari")


def config(num_envs, steps):
    sampler: Any = SinglePathConfig(num_envs=num_envs, steps_per_env=steps)
    return Config(seed=0, sampler=sampler)


def test_vectors_are_four_bytes_each():
    assert observation_bytes(config(16, 128), simulator((11,), np.float64)) == 16 * 128 * 11 * 4


@pytest.mark.parametrize("frame_stack", [4, 1])
def test_images_take_what_the_recorder_takes(frame_stack):
    steps, envs, shape = 5, 3, (4, 6, 7)
    recorder = FrameRecorder(steps, np.zeros((envs, *shape), np.uint8), shifts=frame_stack > 1)
    planes, *_ = recorder.result()
    told = observation_bytes(config(envs, steps), simulator(shape, np.uint8, frame_stack))
    assert told == planes.nbytes


def test_a_frame_is_stored_once():
    """Pong, 8 x 128: a stack each would be four times as much."""
    told = observation_bytes(config(8, 128), simulator((4, 84, 84), np.uint8, 4))
    assert told == 8 * (128 + 4) * 84 * 84
    assert size_in_words(told) == "7.11 MiB"


def test_what_cannot_fit_is_refused_with_the_numbers(monkeypatch):
    here = simulator((4, 84, 84), np.uint8, 4)
    needed = sum(memory_needed(config(8, 128), here).values())
    monkeypatch.setattr(memory, "available_memory", lambda: needed)
    check_memory(config(8, 128), here)
    with pytest.raises(UserError, match=r"sampler\.num_envs=8 x sampler\.steps_per_env=129 .* MiB"):
        check_memory(config(8, 129), here)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    check_memory(config(8, 10**9), here)


GIB = 2**30


@pytest.mark.parametrize(
    ("words", "largest"),
    [
        # At least 10^6 * 3 kB, 16 kB of observations each, and so on: far beyond one GiB.
        (["algo=ppo", "sampler.num_envs=1000000"], "sampler.steps_per_env=128 samples take"),
        (["sampler.num_envs=100000"], "sampler.steps_per_env=128 samples of 128 hidden units take"),
        (["sampler.num_envs=1000000", "sampler.steps_per_env=1"], "1000000 environments"),
        (["eval.episodes=1000000000"], "eval.episodes=1000000000"),
        (["policy=mlp", "policy.hidden_sizes=[40000,40000]"], "policy.hidden_sizes=[40000, 40000]"),
        (["value=mlp", "value.hidden_sizes=[40000,40000]"], "value.hidden_sizes=[40000, 40000]"),
        (["sampler=vine", "sampler.actions=1000000000"], "sampler.actions"),
        (["sampler=vine", "sampler.width=1000000000"], "sampler.width=1000000000"),
    ],
)
def test_every_part_is_counted(cli: Cli, monkeypatch, words, largest):
    monkeypatch.setattr(memory, "available_memory", lambda: GIB)
    cli.config("env=CartPole-v1", "seed=0")
    outcome = cli("env=CartPole-v1", *words)
    assert outcome.status == 2 and largest in outcome.err, outcome.err
    assert "1 GiB are free" in outcome.err and "num_envs=16 env" not in outcome.err


def test_an_evaluation_is_refused_by_its_own_option(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: GIB)
    memory.check_parts({"--episodes 1000000": evaluation_bytes(10**6, False)})
    with pytest.raises(UserError, match=r"--episodes 2000000 take 1\.86 GiB"):  # 2e6 x 1000 bytes
        memory.check_parts({"--episodes 2000000": evaluation_bytes(2 * 10**6, False)})


PER_ENVIRONMENT = """
import sys
from trpo_cli.config import EnvConfig
from trpo_cli.simulators.make import make_simulator
from trpo_cli.system.machine import memory_in_use
from trpo_cli.training import memory
env = EnvConfig(id=sys.argv[1])
make_simulator(env, 2, 1).close()  # what is loaded once
before, number = memory_in_use(), 1000
many = make_simulator(env, number, 1)
many.reset(seed=list(range(number)))
print((memory_in_use() - before) / number / memory.ENVIRONMENT[many.backend])
"""


@pytest.mark.parametrize("backend", ["CartPole-v1", "Hopper-v4"])
def test_an_environment_takes_what_is_said(backend):
    """No more than is said would be refused wrongly. Measured in a process of its own: one that has
    done other things has memory to reuse. One more page here and there is allowed for."""
    command = [sys.executable, "-W", "ignore", "-c", PER_ENVIRONMENT, backend]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.5


def test_states_of_a_policy_that_remembers_count() -> None:
    """64 float32 twice for each of 4 x 8 samples."""
    there = simulator((3,), np.float32)
    there.backend = "gymnasium"
    plain = config(4, 8)
    more = dataclasses.replace(plain, policy=GRUPolicyConfig())
    parts = memory_needed(more, there).items() - memory_needed(plain, there).items()
    key = "sampler.num_envs=4 x sampler.steps_per_env=8 states of policy.memory_size=64"
    assert (key, 2 * 4 * 32 * 64) in parts
