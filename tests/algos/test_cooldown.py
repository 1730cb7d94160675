"""Shared log deviations fall over the last tenth of training, within every bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import make_policy, on_tensors
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.maths.distributions import Gaussian, mean_kl
from trpo_cli.maths.schedule import DEVIATION_COOLDOWN, cooled, fall_within
from trpo_cli.models.heads import GaussianHead
from trpo_cli.training.trainer import Training

BATCH, UPDATES = 4 * 64, 32
SHARES = np.array([cooled(1 - k / UPDATES, 1 - (k + 1) / UPDATES) for k in range(UPDATES)])
BEFORE = UPDATES - 4  # the last tenth is 3.2 updates
SMALL = [
    "seed=1", "threads=1", "sampler.num_envs=4",
    "sampler.steps_per_env=64", "policy.hidden_sizes=[8]", "value.hidden_sizes=[8]",
    f"total_steps={BATCH * UPDATES}",
]  # fmt: skip


def log_stds(algo: str, *words: str, env: str = "HalfCheetah-v4") -> tuple[np.ndarray, list[float]]:
    """Log deviations before the first update and after each, (updates + 1, A), and the KLs."""
    training = Training(config_of(f"algo={algo}", f"env={env}", *SMALL, *words))
    size = training.policy.network.num_parameters

    def now() -> np.ndarray:
        return as_numpy(training.policy.parameters[size:]).copy()

    found, kls = [now()], []
    for _ in range(UPDATES):
        kls.append(training.iterate()["policy/kl"])
        found.append(now())
    training.close()
    return np.array(found), kls


@pytest.mark.parametrize("algo", ["vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual"])
def test_they_fall_at_the_end_and_not_before(algo: str) -> None:
    """Nothing else before; then, at every update, at least the same part."""
    plain, _ = log_stds(algo)
    nats = 0.06 if algo == "trpo" else 1.0  # within its bound
    cooled_down, kls = log_stds(algo, f"policy.log_std_cooldown={nats}")
    assert (SHARES[:BEFORE] == 0.0).all() and (SHARES[BEFORE:] > 0.06).all()
    np.testing.assert_array_equal(cooled_down[: BEFORE + 1], plain[: BEFORE + 1])
    falls = -np.diff(cooled_down[BEFORE:], axis=0)
    accepted = np.array(kls[BEFORE:]) > 0.0
    assert accepted.sum() >= 3  # a line search may fail
    assert (falls > nats * SHARES[BEFORE:, None] - 1e-6)[accepted].all()
    if algo != "trpo":
        assert (plain[BEFORE] - plain[-1]).max() < 0.5  # by itself it does not


def test_as_far_as_a_bound_allows() -> None:
    """Of TRPO's bound, 0.01 nats, a quarter is for it: falls of 0.25 nats would cost six actions
    0.4 nats. An update that is accepted makes at least the smaller fall."""
    found, kls = log_stds("trpo", "policy.log_std_cooldown=1")
    assert 0.0 < max(kls) <= 0.01
    falls = -np.diff(found[BEFORE:], axis=0)
    accepted = np.array(kls[BEFORE:]) > 0.0
    allowed = np.minimum(SHARES[BEFORE:], fall_within(0.0025, 6))
    assert accepted.any() and (falls > allowed[:, None] - 1e-6)[accepted].all()
    assert falls.max() < 0.1


@pytest.mark.parametrize(("kl", "size"), [(0.0025, 6), (0.1, 1), (1.0, 1), (1e-6, 17)])
def test_the_fall_within_a_bound(kl: float, size: int) -> None:
    """The KL of the distributions themselves is below it, and not far."""
    fall = fall_within(kl, size)
    mean, std = np.zeros((1, size)), np.zeros(size)
    old, new = Gaussian(mean, std), Gaussian(mean, std - fall)
    found = float(mean_kl(old, new))
    assert found <= kl and (kl > 0.01 or found > 0.8 * kl)


def test_the_floor_falls_with_them() -> None:
    """It keeps a policy exploring that still has to learn, and the last one has not."""
    words = ("policy.log_std_cooldown=2", "policy.min_log_std=-1")
    found, _ = log_stds("ppo", *words, env="InvertedPendulum-v4")
    floors = -1.0 - 2.0 * np.append(0.0, SHARES.cumsum())
    assert (found[:, 0] > floors - 1e-6).all()
    assert found[BEFORE] == -1.0  # this task is learned by being surer
    assert found[-1] == pytest.approx(-3.0)


def test_nothing_is_lifted_to_the_floor() -> None:
    """Where a run goes on after its cooldown, that would go far beyond a trust region."""
    policy = make_policy(spaces.Box(-1, 1, (2,)), dtype=np.float32)
    assert isinstance(policy.head, GaussianHead)
    policy.head.min_log_std = -3.0
    for there in (policy, on_tensors(policy)):
        there.parameters[-2:] = there.to_device(np.array([-4.0, -1.0], np.float32))
        there.cool(0.0)
        there.hold()
        assert there.parameters[-2:].tolist() == [-4.0, -1.0]
        there.parameters[-2:] -= 3.0  # what an update made of them
        there.hold()
        assert there.parameters[-2:].tolist() == [-4.0, -3.0]


def test_the_shares_of_a_training_add_up() -> None:
    """Whatever the batches: the last one may go beyond the end."""
    rng = np.random.default_rng(0)
    ends = np.append(np.sort(rng.uniform(0.0, 1.0, 50)), 1.01)
    remaining = 1.0 - np.append(0.0, ends)
    shares = [cooled(a, b) for a, b in pairwise(remaining)]
    assert sum(shares) == pytest.approx(1.0)
    assert all(
        s == 0.0 for s, end in zip(shares, ends, strict=True) if end < 1.0 - DEVIATION_COOLDOWN
    )


def test_tensors() -> None:
    there = on_tensors(make_policy(spaces.Box(-1, 1, (2,))))
    there.parameters[-2:] = torch.tensor([-1.0, -2.0])
    before = there.parameters.clone()
    there.cool(0.5)
    there.parameters[-2:] = torch.tensor([-1.2, -3.0])  # what an update made of them
    there.hold()
    assert there.parameters[-2:].tolist() == [-1.5, -3.0]
    assert torch.equal(there.parameters[:-2], before[:-2])


@pytest.mark.parametrize(
    "words",
    [["env=CartPole-v1"], ["policy.log_std=state"], ["algo=es", "sampler=perturbations"]],
)
@pytest.mark.parametrize("key", ["log_std_cooldown", "min_log_std"])
def test_where_nothing_is_to_be_held(
    refused: Callable[[Sequence[str]], str], words: list[str], key: str
) -> None:
    """Discrete actions, a deviation for each state, no samples: said, and only where asked for."""
    said = refused(["policy=mlp", f"policy.{key}=0.5", "policy.init_log_std=1", *words])
    assert f"policy.{key}=0.5 would change nothing here" in said and "policy.log_std=shared" in said
