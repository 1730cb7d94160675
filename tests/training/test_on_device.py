"""Whole iterations on tensors: what the same numbers give as numpy's arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.on_device import OnDevice
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.data.frames import concatenate
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.samplers.device_sampler import DeviceSampler
from trpo_cli.simulators import make
from trpo_cli.training.build import prepare
from trpo_cli.training.trainer import Training

SMALL = [
    "env=Hopper-v4", "seed=1", "sampler.num_envs=4", "sampler.steps_per_env=32", "threads=1",
    "policy.hidden_sizes=[8]", "value.hidden_sizes=[8]", "value.epochs=2",
]  # fmt: skip


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every simulator that is made is one on a device."""
    native: Any = make.make_simulator

    def made(env: Any, num_envs: int, threads: int, first: int = 0, **_: Any) -> Any:
        simulator = native(dataclasses.replace(env, backend="auto"), num_envs, threads, first)
        return OnDevice(simulator) if env.backend == "warp" else simulator

    monkeypatch.setattr(make, "make_simulator", made)

    def noise(self: DeviceSampler, policy: Any, generator: np.random.Generator) -> torch.Tensor:
        return torch.from_numpy(policy.noise(generator, (self.steps, self.simulator.num_envs)))

    monkeypatch.setattr(DeviceSampler, "_noise", noise)


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("algo", ["vpg", "npg", "trpo", "ppo", "ppo_penalty"])
def test_iterations_agree(algo: str) -> None:
    rows, ends = [], []
    for backend in ("auto", "warp"):
        training = Training(config_of(f"algo={algo}", *SMALL, f"env.backend={backend}"))
        rows.append([training.iterate() for _ in range(2)][-1])
        ends.append(np.asarray(training.policy.parameters))
        training.close()
    assert rows[0]["train/return_mean"] == pytest.approx(rows[1]["train/return_mean"], rel=1e-3)
    for key in ("policy/kl", "policy/entropy", "value/loss", "value/explained_variance"):
        assert rows[0][key] == pytest.approx(rows[1][key], rel=0.02, abs=1e-5), key
    # Conjugate gradients multiply the rounding of sums; a wrong sign or scale would be of order 1.
    assert np.linalg.norm(ends[0] - ends[1]) < 1e-2 * np.linalg.norm(ends[0])


@pytest.mark.usefixtures("on_device")
def test_a_run_goes_on_from_its_state() -> None:
    config = config_of("algo=ppo", *SMALL, "env.backend=warp")
    one, other = Training(config), Training(config)
    one.iterate()
    arrays, state = one.state()
    arrays = {name: np.array(as_numpy(array)) for name, array in arrays.items()}
    expected = one.iterate()
    assert other.load_state(arrays, state) == ""
    found = other.iterate()
    for key in ("step", "train/return_mean", "policy/kl", "value/loss"):
        assert found[key] == expected[key], key
    one.close()
    other.close()


@pytest.mark.usefixtures("on_device")
def test_what_is_not_finite_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(config_of("algo=ppo", *SMALL, "env.backend=warp"))
    advance = OnDevice.advance

    def broken(self: OnDevice, actions: torch.Tensor) -> Any:
        step = advance(self, actions)
        self.observations[2, 5] = float("nan")
        return step

    monkeypatch.setattr(OnDevice, "advance", broken)
    with pytest.raises(RunFailed, match=r"observation\[5\] is nan at environment step 7 "):
        training.iterate()
    training.close()


def test_a_normaliser_takes_tensors() -> None:
    generator = np.random.default_rng(0)
    data = (100.0 + generator.normal(size=(5000, 3))).astype(np.float32)
    here, there = Normalizer((3,), 2.0), Normalizer((3,), 2.0)
    for batch in np.split(data, 2):
        here.update(batch)
        there.update(torch.from_numpy(batch))
    np.testing.assert_allclose(here.square, there.square, rtol=1e-12)
    np.testing.assert_allclose(here.mean, there.mean, rtol=1e-12)
    found = there(torch.from_numpy(data))
    assert isinstance(found, torch.Tensor)
    # One rounding of a number near 100, in units of the deviation 1.
    np.testing.assert_allclose(here(data), found, atol=100 * 2.0**-23)
    there.update(torch.from_numpy(data + 50))  # what was moved to the device is not of use any more
    here.update(data + 50)
    np.testing.assert_allclose(here(data), there(torch.from_numpy(data)), atol=200 * 2.0**-23)


def test_tensors_are_put_together() -> None:
    assert concatenate([torch.zeros(2, 3), torch.ones(1, 3)]).sum() == 3


@pytest.mark.parametrize("sampler", ["vine", "perturbations"])
def test_other_samplers_are_refused(sampler: str) -> None:
    algo = "es" if sampler == "perturbations" else "trpo"
    words = (f"algo={algo}", f"sampler={sampler}", "env=Hopper-v4", "env.backend=warp")
    with pytest.raises(UserError, match=f"sampler={sampler} cannot use env.backend=warp"):
        prepare(config_of(*words))
