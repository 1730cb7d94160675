"""Starts drawn from counters: their law, and what they depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.support.gym_reference import MUJOCO
from tests.support.mujoco_tasks import entry
from trpo_cli.simulators.warp.starts import draw, mix, normals, starts_on, uniforms, words

CPU = torch.device("cpu")
N = 4000


def splitmix64(x: int) -> int:
    """The output function as its authors wrote it, in Python's own integers."""
    mask = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_the_mixer_is_that_of_splitmix64() -> None:
    """In two's complement; and the generator's known first outputs from the seed 1234567."""
    inputs = np.random.default_rng(0).integers(0, 1 << 64, 1000, dtype=np.uint64)
    found = mix(torch.from_numpy(inputs.view(np.int64))).numpy().view(np.uint64)
    assert found.tolist() == [splitmix64(x) for x in inputs.tolist()]
    golden, seed = 0x9E3779B97F4A7C15, 1234567
    first = [splitmix64((seed + k * golden) % (1 << 64)) for k in (1, 2, 3)]
    assert first == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_uniform_and_normal_numbers() -> None:
    """Kolmogorov and Smirnov on 40000 numbers, and no correlation between seeds, episodes and
    coordinates: of 40000 pairs it has a standard error of 1/200, and 0.02 are four of them."""
    seeds, episodes = torch.arange(100).repeat_interleave(100), torch.arange(100).repeat(100)
    drawn = words(seeds, episodes, torch.arange(8))
    flat = uniforms(drawn[:, :4]).double()
    assert flat.min() >= 0.0 and flat.max() < 1.0
    assert stats.kstest(flat.flatten(), "uniform").pvalue > 0.01
    bell = normals(drawn[:, :4], drawn[:, 4:]).double()
    assert stats.kstest(bell.flatten(), "norm").pvalue > 0.01
    grid = flat.reshape(100, 100, 4).numpy()
    for axis in range(3):
        one, next_one = np.delete(grid, -1, axis), np.delete(grid, 0, axis)
        assert abs(np.corrcoef(one.ravel(), next_one.ravel())[0, 1]) < 0.02


def test_no_normal_number_is_infinite() -> None:
    """The smallest uniform number is 0, and Box and Muller take the logarithm of 2^-24 then."""
    zero = torch.zeros(1, 1, dtype=torch.int64)
    assert normals(zero, zero).item() == pytest.approx(math.sqrt(48 * math.log(2)), rel=1e-6)


@pytest.mark.parametrize("env_id", MUJOCO)
def test_the_law_is_gymnasium_s(env_id: str) -> None:
    """Every coordinate has the distribution of the task's own draw: two samples of 4000 each. With
    up to 47 coordinates a p-value of 1e-4 by chance is rare, and the seeds are fixed."""
    env, found, v5 = entry(env_id)
    starts = starts_on(found.start(env, v5), CPU)
    ours = draw(starts, torch.arange(N), torch.zeros(N, dtype=torch.int64)).double().numpy()
    generator, own = np.random.default_rng(5), found.draw(env, v5)
    theirs = np.array([own(generator) for _ in range(N)])
    assert ours.shape == theirs.shape
    for k in range(ours.shape[1]):
        if np.ptp(theirs[:, k]) == 0.0:
            np.testing.assert_allclose(ours[:, k], theirs[0, k], rtol=2**-23)
        else:
            assert stats.ks_2samp(ours[:, k], theirs[:, k]).pvalue > 1e-4, k
    # Normal noise has no edges; what is drawn in a box stays in it, up to rounding.
    if not found.start(env, v5).normal_velocities:
        spread = 1e-6 + np.ptp(theirs, 0) * 1e-2
        assert np.all(ours >= theirs.min(0) - spread) and np.all(ours <= theirs.max(0) + spread)


def test_goals_lie_where_they_may() -> None:
    """Reacher's within 0.2 of the origin; Pusher's object 0.17 and more away from its goal. The
    share of the inner half of a disc's radius is a quarter (standard error 0.007)."""
    zeros = torch.zeros(N, dtype=torch.int64)
    env, found, v5 = entry("Reacher-v5")
    start = found.start(env, v5)
    goals = draw(starts_on(start, CPU), torch.arange(N), zeros)[:, start.nq - 2 : start.nq]
    distance = goals.norm(dim=1)
    assert distance.max() < 0.2 + 1e-6
    assert abs((distance < 0.1).double().mean().item() - 0.25) < 0.028
    env, found, v5 = entry("Pusher-v5")
    start = found.start(env, v5)
    items = draw(starts_on(start, CPU), torch.arange(N), zeros)[:, start.nq - 4 : start.nq - 2]
    assert items.norm(dim=1).min() > 0.17 - 1e-6
    corner = (items[:, 0] < -0.17).double().mean().item()
    free = 0.3 * 0.4 - math.pi * 0.17**2 / 2
    assert abs(corner - 0.13 * 0.4 / free) < 0.032  # four standard errors


def test_depends_on_seed_and_episode_alone() -> None:
    """Not on how many worlds there are, nor on their order."""
    env, found, v5 = entry("HalfCheetah-v5")
    starts = starts_on(found.start(env, v5), CPU)
    seeds = torch.tensor([7, -3, 1 << 62, 7, 0])
    episodes = torch.tensor([0, 5, 2, 1, 0])
    together = draw(starts, seeds, episodes)
    for i in range(5):
        assert torch.equal(draw(starts, seeds[i : i + 1], episodes[i : i + 1])[0], together[i])
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(draw(starts, seeds[order], episodes[order]), together[order])
    assert len(torch.unique(together[:, 0])) == 5
