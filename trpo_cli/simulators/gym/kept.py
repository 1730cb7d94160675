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
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from trpo_cli.simulators.gym import wrapper_state
from trpo_cli.simulators.gym.probe import drawn, global_generators, put_back
from trpo_cli.simulators.gym.replay import generator_state, set_generator

Env = gymnasium.Env[Any, Any]

STEPS, FUTURE = 40, 60
_SEED = 7


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


def way_to_keep(build: Callable[[], Env]) -> tuple[str, str]:
    """("copy" or "state", "") for a kind of environment, or ("", why neither is exact)."""
    reasons = []
    for way in ("copy", "state"):
        reason = why_not_exact(build, way)
        if not reason:
            return way, ""
        reasons.append(reason)
    return "", "; ".join(reasons)


def why_not_exact(build: Callable[[], Env], way: str) -> str:
    """Empty when two environments that go back to one moment have one future, to the bit, and do
    not disturb each other; otherwise what went wrong."""
    envs, generators = [build(), build()], global_generators()
    try:
        if way == "state" and not all(
            callable(getattr(envs[0].unwrapped, name, None)) for name in ("get_state", "set_state")
        ):
            return "it has no get_state and set_state"
        reason = _try_out(envs, way)
        name = drawn(generators)
        return f"it draws from {name}'s global random generator" if name else reason
    except Exception as error:
        words = textwrap.shorten(str(error), 200)
        name = {"copy": "a deep copy", "state": "its get_state or set_state"}[way]
        return f"{name} failed ({type(error).__name__}: {words})"
    finally:
        for env in envs:
            env.close()
        put_back(generators)


def _try_out(envs: list[Env], way: str) -> str:
    first, second = envs
    space = copy.deepcopy(first.action_space)
    space.seed(_SEED)
    first.reset(seed=_SEED)
    second.reset(seed=_SEED + 1)
    for _ in range(STEPS):
        if _ends(first.step(space.sample())):
            first.reset()
    kept = keep(first, way)
    actions = [space.sample() for _ in range(FUTURE)]
    futures = [_future(go_back(second, kept), actions) for _ in range(2)]
    if futures[0] != futures[1]:
        return "going back twice to one moment gave two futures"
    # The one that was kept goes on as if nothing had been: nothing is shared.
    if _future(first, actions) != futures[0]:
        return "what went back to a moment had another future than the one that stayed"
    return ""


def _future(env: Env, actions: list[Any]) -> list[Any]:
    """All that these actions give, to the bit, through ends of episodes."""
    seen: list[Any] = []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(copy.deepcopy(action))
        seen.append((_bits(observation), _bits(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            seen.append(_bits(env.reset()[0]))
    return seen


def _ends(result: tuple[Any, ...]) -> bool:
    return bool(result[2] or result[3])


def _bits(value: Any) -> Any:
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes()


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
