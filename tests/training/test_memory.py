"""The memory of an update's observations: counted, printed, refused."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from trpo_cli.config import Config
from trpo_cli.errors import UserError
from trpo_cli.samplers.recorders import FrameRecorder
from trpo_cli.samplers.single_path import SinglePathConfig
from trpo_cli.training import memory
from trpo_cli.training.memory import check_memory, observation_bytes, size_in_words


def simulator(shape, dtype, frame_stack=1):
    space = spaces.Box(0, 255, shape, dtype)
    return SimpleNamespace(observation_space=space, frame_stack=frame_stack)


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
    monkeypatch.setattr(
        memory, "available_memory", lambda: 2 * observation_bytes(config(8, 128), here)
    )
    check_memory(config(8, 128), here)
    with pytest.raises(UserError, match=r"sampler\.num_envs=8 x sampler\.steps_per_env=129 .* MiB"):
        check_memory(config(8, 129), here)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    check_memory(config(8, 10**9), here)
