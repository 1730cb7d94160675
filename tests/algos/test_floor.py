"""No update takes a shared log standard deviation below its floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from gymnasium import spaces

from tests.support.small import make_policy, on_tensors
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.models.heads import GaussianHead
from trpo_cli.training.trainer import Training

SMALL = [
    "env=InvertedPendulum-v4", "seed=1", "threads=1", "sampler.num_envs=4",
    "sampler.steps_per_env=64", "policy.hidden_sizes=[8]", "value.hidden_sizes=[8]",
    "policy.init_log_std=-1",
]  # fmt: skip


def after(algo: str, floor: str, *words: str, iterations: int = 4) -> tuple[float, list[float]]:
    """The lowest log deviation, and the KLs of the updates."""
    config = config_of(f"algo={algo}", f"policy.min_log_std={floor}", *SMALL, *words)
    training = Training(config)
    kls = [training.iterate()["policy/kl"] for _ in range(iterations)]
    size = training.policy.network.num_parameters
    lowest = float(as_numpy(training.policy.parameters[size:]).min())
    training.close()
    return lowest, kls


@pytest.mark.parametrize("algo", ["vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual"])
def test_holds_after_every_update(algo: str) -> None:
    """This task is learned by being surer: without a floor the deviation falls at once."""
    assert after(algo, "null")[0] < -1.0
    lowest, kls = after(algo, "-1")
    assert lowest == -1.0
    assert all(kl > 0.0 for kl in kls)
    if algo == "trpo":
        assert max(kls) <= 0.01  # what the line search bounded was already held


def test_holds_tensors() -> None:
    policy = make_policy(spaces.Box(-1, 1, (2,)))
    assert isinstance(policy.head, GaussianHead)
    policy.head.min_log_std = -2.0
    there = on_tensors(policy)
    there.parameters[-2:] = torch.tensor([-3.0, -1.0])
    before = there.parameters.clone()
    there.hold()
    assert there.parameters[-2:].tolist() == [-2.0, -1.0]
    assert torch.equal(there.parameters[:-2], before[:-2])


@pytest.mark.parametrize("chosen", [["policy=mlp"], []])
def test_a_start_below_the_floor_is_refused(
    refused: Callable[[Sequence[str]], str], chosen: list[str]
) -> None:
    """By whatever policy: one that is chosen for a person is known when the environment is."""
    said = refused(["env=Hopper-v4", "policy.init_log_std=-5", "policy.min_log_std=-4", *chosen])
    assert "policy.init_log_std=-5 lies below policy.min_log_std=-4, its floor" in said
