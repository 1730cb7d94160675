"""``trpo-run --restorable env=ID``: whether an environment can be brought back, tried out here."""

from __future__ import annotations

from collections.abc import Sequence

from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.config import Config


def restorable(overrides: Sequence[str], config_dir: str | None) -> int:
    """Print one line for each use; returns 0 when both are exact, 3 otherwise."""
    config = compose(start_hydra(config_dir), overrides)[0]
    exact = 0
    for use, portable in (("resume", True), ("vine", False)):
        reason = why_not(config, portable)
        exact += not reason
        words = "exact: from an earlier moment, the same steps came again to the bit"
        if reason:
            words = reason
        print(f"{'yes' if not reason else 'no':4} {use}: {words}", flush=True)
    return 0 if exact == 2 else 3


def why_not(config: Config, portable: bool) -> str:
    """Why the environment does not come back exactly; empty when it does, which is tried out."""
    from trpo_cli.simulators.make import make_simulator
    from trpo_cli.simulators.same_future import same_future
    from trpo_cli.training.build import prepare

    env = prepare(config).config.env
    ours, other = (make_simulator(env, 2, 1, native=True) for _ in range(2))
    try:
        reason = ours.why_not_restorable if portable else ours.why_not_branchable
        return reason or same_future(ours, other, portable)
    finally:
        ours.close()
        other.close()
