"""Whether going back to an earlier moment gives the same future, to the bit: by trying it."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.simulators.base import Simulator

PAST, FUTURE = 40, 100
_SEED = 7


def same_future(ours: Simulator, other: Simulator, portable: bool) -> str:
    """What differs after a moment of `ours` was kept and put back, in words; "" if nothing does.

    ours, other: two simulators of one kind and size. portable: as in `Simulator.snapshot`.

    `ours` first goes on from the moment, which must not change what was kept; then both are put
    back and take the same actions, one after the other, through ends of episodes.
    """
    space = ours.action_space
    space.seed(_SEED)

    def live(simulator: Simulator, actions: list[np.ndarray]) -> list[dict[str, Any]]:
        return [_bits(simulator.step(action)) for action in actions]

    def draw(steps: int) -> list[np.ndarray]:
        return [np.array([space.sample() for _ in range(ours.num_envs)]) for _ in range(steps)]

    ours.reset(seed=[_SEED + i for i in range(ours.num_envs)])
    other.reset(seed=[_SEED - 1 - i for i in range(ours.num_envs)])
    live(ours, draw(PAST))
    moment, actions = ours.snapshot(portable=portable), draw(FUTURE)
    expected = live(ours, actions)
    for simulator, where in ((ours, "the same"), (other, "another")):
        simulator.restore(moment)
        for number, (a, b) in enumerate(zip(expected, live(simulator, actions), strict=True), 1):
            if names := [name for name in a if a[name] != b[name]]:
                return (
                    f"put back in {where} environment it gave another future: {names[0]} differed "
                    f"after {number} steps"
                )
    return ""


def _bits(step: Any) -> dict[str, Any]:
    arrays = {name: array for name, array in vars(step).items() if array is not None}
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}
