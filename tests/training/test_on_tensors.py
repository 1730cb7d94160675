"""Whole iterations on tensors, as a GPU makes them, on the CPU: those of the compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.distributed.processes import Processes
from trpo_cli.models import orders
from trpo_cli.models.torch_mlp import TorchMLP
from trpo_cli.models.value import Value
from trpo_cli.training.trainer import Training


class OnTensors(Processes):
    """To what chooses the arithmetic this device is not the CPU."""

    def device(self, kind: str) -> str:
        return "cpu:0"


@pytest.mark.parametrize("algo", ["vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("alone", [True, False])
def test_an_iteration_agrees(
    algo: str, env: str, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """alone: by steps that nobody waits for.

    float32: a digit of 24 bits, times 1e3 or so for conjugate gradients and for Adam, whose first
    step is one of sign alone.
    """
    monkeypatch.setattr(orders, "KINDS", ("cpu",) if alone else ())
    small = ["seed=1", "sampler.num_envs=4", "sampler.steps_per_env=32", "threads=1"]
    found: list[tuple[dict[str, Any], np.ndarray]] = []
    for processes in (Processes(), OnTensors()):
        training = Training(config_of(f"algo={algo}", f"env={env}", *small), processes)
        policy, value = training.policy, training.value
        assert isinstance(value, Value)
        for network in (policy.network, value.network):
            assert isinstance(network, TorchMLP) == bool(found)
        row, shape = training.iterate(), training.simulator.observation_space.shape
        assert shape is not None
        states = np.random.default_rng(0).standard_normal((50, *shape), dtype=np.float32)
        found.append((row, value.predict(value.to_device(states))))
        training.close()
    (ours, values), (theirs, others) = found
    for key in ("policy/kl", "policy/entropy", "value/loss"):
        assert theirs[key] == pytest.approx(ours[key], rel=1e-3, abs=1e-6), key
    np.testing.assert_allclose(others, values, rtol=0, atol=1e-3 * abs(values).max())
