"""What a checkpoint belongs to: every setting that a resumed run keeps, and the spaces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trpo_cli.config import Config, may_change
from trpo_cli.errors import UserError
from trpo_cli.settings import walk

if TYPE_CHECKING:
    from trpo_cli.simulators.base import Simulator


def identity(config: Config, simulator: Simulator) -> dict[str, Any]:
    """The identity of a run with this settled configuration, as JSON gives it back."""
    settings = {k: v for k, _, v in walk(config) if k != "resume" and not may_change(k)}
    spaces = {
        "observations": str(simulator.observation_space),
        "actions": str(simulator.action_space),
    }
    plain: dict[str, Any] = json.loads(json.dumps({**settings, **spaces}, default=str))
    return plain


def check_identity(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise `UserError` naming what differs between a checkpoint (theirs) and a run (ours).

    Settings that only one of them knows were added or left out by another version.
    """
    for key in ("env.id", "algo.name", *theirs):
        if key in ours and ours[key] != theirs.get(key):
            raise UserError(
                f"the checkpoint belongs to another run: {key} is {theirs.get(key)} there and "
                f"{ours[key]} here."
            )
