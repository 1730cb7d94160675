"""Whether going back to an earlier moment gives the same future, to the bit: by trying it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from trpo_cli.simulators.base import Simulator

FUTURE = 100
_SEED = 7
_EARLY, _LATER = 7, 40


def same_future(ours: Simulator, other: Simulator, portable: bool, future: int = FUTURE) -> str:
    """What differs after a moment of `ours` was kept and put back, in words; "" if nothing does.

    ours, other: two simulators of one kind and size, `other` as it was made. portable: as in
    `Simulator.snapshot`. future: the number of steps to compare.

    Two moments are tried: one of a seeded episode, and one after episodes that go on from it.
    `ours` first goes on from the moment, which must not change what was kept; then both are put
    back and take the same actions, one after the other, through ends of episodes.
    """
    space = copy.deepcopy(ours.action_space)
    space.seed(_SEED)

    def live(simulator: Simulator, actions: list[np.ndarray]) -> list[dict[str, Any]]:
        return [_bits(simulator.step(action)) for action in actions]

    def draw(steps: int) -> list[np.ndarray]:
        return [np.array([space.sample() for _ in range(ours.num_envs)]) for _ in range(steps)]

    seeds = [_SEED + i for i in range(ours.num_envs)]
    for seed, past in ((seeds, _EARLY), (None, _LATER)):
        ours.reset(seed=seed)
        live(ours, draw(past))
        moment, actions = ours.snapshot(portable=portable), draw(future)
        expected = live(ours, actions)
        for simulator, where in ((ours, "the same"), (other, "another")):
            simulator.restore(moment)
            for number, (a, b) in enumerate(zip(expected, live(simulator, actions), strict=True)):
                if names := [name for name in a if a[name] != b[name]]:
                    return (
                        f"put back in {where} environment it gave another future: {names[0]} "
                        f"differed after {number + 1} steps"
                    )
    return ""


def _bits(step: Any) -> dict[str, Any]:
    arrays = {name: array for name, array in vars(step).items() if array is not None}
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}
