"""Gymnasium's MuJoCo tasks, for tests that look at a task without a simulator."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium

from trpo_cli.simulators.mujoco.tasks import FAMILY, Entry
from trpo_cli.simulators.resolve import mujoco_class


def entry(env_id: str, **kwargs: Any) -> tuple[Any, Entry, bool]:
    """An environment of Gymnasium's own, unwrapped; its task's entry; whether it is version 5."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(env_id, **kwargs).unwrapped
    found = mujoco_class(gymnasium.spec(env_id))
    assert found is not None
    name, v5 = found
    return env, FAMILY[name], v5
