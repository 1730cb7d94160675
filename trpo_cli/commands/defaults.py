"""The settings that a run has when nobody says anything but what it consists of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from trpo_cli.compare.read import Run, flatten
from trpo_cli.components import HOMES, file_names, options
from trpo_cli.errors import UserError

DECIDED = ("env.id", "env.atari.frame_height", "env.atari.frame_width")
"""Not of the composition: the task, and what its network wants."""


def defaults_of(run: Run) -> Mapping[str, Any] | None:
    """Flat, and without what is decided for each run; None where a component is not one of ours.
    What a run names is looked up, never imported."""
    names = {group: str(run.config.get(f"{group}.name")) for group in HOMES}
    if run.tool or any(name not in options(group) for group, name in names.items()):
        return None
    env = "ALE/Pong-v5" if run.env.startswith("ALE/") else "Hopper-v4"
    if run.env in file_names("env"):
        env = run.env
    return _composed(env, *(f"{group}={name}" for group, name in names.items()))


@functools.cache
def _composed(env: str, *chosen: str) -> Mapping[str, Any] | None:
    from trpo_cli.commands.hydra.compose import config_of

    try:
        config = flatten(dataclasses.asdict(config_of(f"env={env}", *chosen)))
    except UserError:  # of an older version, whose components went together
        return None
    return {k: v for k, v in config.items() if k not in DECIDED and v != "auto"}
