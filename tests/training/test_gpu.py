"""The same numbers on a GPU as on the CPU, up to rounding. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.data.frames import FrameStacks
from trpo_cli.models.conv import ConvNet
from trpo_cli.training.trainer import Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def network(device: str) -> ConvNet:
    return ConvNet((4, 52, 40), [(16, 4, 2), (16, 4, 2)], 20, 6, "relu", device)


def test_outputs_and_products_agree() -> None:
    generator = np.random.default_rng(0)
    planes = generator.integers(0, 256, (40, 52, 40), dtype=np.uint8)
    stacks = FrameStacks(planes, generator.integers(0, 40, (300, 4)))
    start = torch.zeros(network("cpu").num_parameters)
    network("cpu").initialize(start, generator, 1.0)
    v = torch.from_numpy(generator.normal(size=len(start)).astype(np.float32))
    u = torch.from_numpy(generator.normal(size=(300, 6)).astype(np.float32))
    found = []
    for device in ("cpu", "cuda"):
        net = network(device)
        here = net.linearize(net.views(start.to(device)), net.to_device(stacks))
        found.append(
            [x.cpu() for x in (here.outputs, here.jvp(v.to(device)), here.vjp(u.to(device)))]
        )
    for a, b in zip(*found, strict=True):
        # TF32 is off by default for products and on for convolutions: ten bits of mantissa.
        assert float((a - b).norm() / a.norm()) < 5e-3


@pytest.mark.parametrize("algo", ["vpg", "npg", "trpo", "ppo"])
@pytest.mark.parametrize(
    "env", [["env=CartPole-v1"], ["env=ALE/Pong-v5", "policy=trpo_cnn", "policy.precision=float32"]]
)
def test_an_iteration_agrees(algo: str, env: list[str]) -> None:
    small = ["seed=1", "sampler.num_envs=4", "sampler.steps_per_env=32", "threads=1"]
    rows = []
    for device in ("cpu", "cuda"):
        training = Training(config_of(f"algo={algo}", *env, *small, f"device={device}"))
        rows.append(training.iterate())
        training.close()
    for key in ("policy/kl", "policy/entropy", "value/loss"):
        assert rows[0][key] == pytest.approx(rows[1][key], rel=0.05, abs=1e-5), key
