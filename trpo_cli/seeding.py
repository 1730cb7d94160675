"""Every random stream of a run, derived from one root seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

# A stream's place in this list is part of the reproducibility contract: append, never reorder.
STREAMS = (
    "policy_init",
    "value_init",
    "action_noise",
    "policy_minibatches",
    "value_minibatches",
    "environments",
    "evaluation",
    "best_evaluation",
    "restarts",
    "branching",
)


def sequence(seed: int, name: str) -> np.random.SeedSequence:
    """The seed sequence of one named stream: child number `STREAMS.index(name)` of the root,
    the same as ``SeedSequence(seed).spawn(len(STREAMS))`` would give it."""
    return np.random.SeedSequence(seed, spawn_key=(STREAMS.index(name),))


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator for one purpose."""
    return np.random.Generator(np.random.PCG64(sequence(seed, name)))


def on_device(generator: np.random.Generator, device: torch.device) -> torch.Generator:
    """A generator of a device's own, begun by a number of this one: one that resumes gives the
    same again."""
    import torch

    there = torch.Generator(device)
    there.manual_seed(int(generator.integers(2**63)))
    return there


def environment_seeds(seed: int, count: int) -> list[int]:
    """One seed per environment; environment i has the same one whatever `count` is."""
    return [int(word) for word in sequence(seed, "environments").generate_state(count, np.uint32)]
