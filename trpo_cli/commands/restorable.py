"""``trpo-run --restorable env=ID``: whether an environment can be brought back, tried out here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.config import Config

if TYPE_CHECKING:
    from trpo_cli.simulators.base import Simulator

STEPS, FUTURE, SEED = 30, 100, 11


def restorable(overrides: Sequence[str], config_dir: str | None) -> int:
    """Print one line for each use; returns 0 when both are exact, 3 otherwise."""
    config = compose(start_hydra(config_dir), overrides)[0]
    exact = 0
    for use, portable in (("resume", True), ("vine", False)):
        reason = why_not(config, portable)
        exact += not reason
        words = f"exact: from an earlier moment, {FUTURE} steps were the same to the bit"
        if reason:
            words = reason
        print(f"{'yes' if not reason else 'no':4} {use}: {words}", flush=True)
    return 0 if exact == 2 else 3


def why_not(config: Config, portable: bool) -> str:
    """Why the environment does not come back exactly; empty when it does, which is tried out."""
    from trpo_cli.config.settle import settle_game
    from trpo_cli.simulators.make import make_simulator

    env = settle_game(config).env
    ours, other = make_simulator(env, 2, 1), make_simulator(env, 2, 1)
    try:
        reason = ours.why_not_restorable if portable else ours.why_not_branchable
        return reason or _try_out(ours, other, portable)
    finally:
        ours.close()
        other.close()


def _try_out(ours: Simulator, other: Simulator, portable: bool) -> str:
    """Go on from one moment in two simulators, by the same actions."""
    import numpy as np

    space = ours.action_space
    space.seed(SEED)

    def actions() -> Any:
        return np.array([space.sample() for _ in range(2)])

    ours.reset(seed=[SEED, SEED + 1])
    for _ in range(STEPS):
        ours.step(actions())
    other.restore(ours.snapshot(portable=portable))
    for step in range(FUTURE):
        chosen = actions()
        a, b = ours.step(chosen), other.step(chosen)
        for name in ("observations", "rewards", "terminated", "truncated"):
            if getattr(a, name).tobytes() != getattr(b, name).tobytes():
                return f"{name} differed {step + 1} steps after going back to an earlier moment"
    return ""
