"""Moments of a Gymnasium environment kept in memory, to go on from there several times.

Replaying an episode (`replay`) is exact and survives the process, but takes as long as the episode
took. Within the process there are two quicker ways, each tried out on the kind of environment
before it is relied on:

copy    a deep copy of the environment, wrappers and generator included
state   the environment's own ``get_state`` and ``set_state``, with deep copies of what its
        wrappers and its generator hold
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from trpo_cli.simulators.gym import wrapper_state
from trpo_cli.simulators.gym.replay import generator_state, set_generator

Env = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class Kept:
    """One moment: `whole` an environment, or what `state` needs to put another one there."""

    whole: Env | None
    state: Any = None
    generator: Any = None
    wrappers: tuple[dict[str, Any], ...] = ()


def keep(env: Env, way: str) -> Kept:
    """The moment at which an environment is. way: "copy" or "state"."""
    if way == "copy":
        return Kept(_copied(env))
    base: Any = env.unwrapped
    return Kept(
        None,
        copy.deepcopy(base.get_state()),
        generator_state(env),
        tuple(_own(layer) for layer in wrapper_state.layers(env)[:-1]),
    )


def go_back(env: Env, kept: Kept) -> Env:
    """An environment at a kept moment: `env` itself, or one that takes its place."""
    if kept.whole is not None:
        return _copied(kept.whole)
    base: Any = env.unwrapped
    base.set_state(copy.deepcopy(kept.state))
    if kept.generator is not None:
        set_generator(env, kept.generator)
    for layer, own in zip(wrapper_state.layers(env)[:-1], kept.wrappers, strict=True):
        vars(layer).update(copy.deepcopy(own))
    return env


def reseed(env: Env, seed: int) -> None:
    """Another future: its generators in states of their own."""
    wrapper_state.reseed(env, seed)
    set_generator(env, dict(np.random.default_rng(seed).bit_generator.state))


def _copied(env: Env) -> Env:
    """A deep copy that shares what never changes: specifications and spaces."""
    memo: dict[int, Any] = {}
    for layer in wrapper_state.layers(env):
        for name, value in vars(layer).items():
            if "space" in name or "spec" in name:
                memo[id(value)] = value
    return copy.deepcopy(env, memo)


def _own(layer: Env) -> dict[str, Any]:
    """A wrapper's own attributes, copied."""
    shared = ("env", "_cached_spec")
    own = {k: v for k, v in vars(layer).items() if k not in shared and "space" not in k}
    return copy.deepcopy(own)
