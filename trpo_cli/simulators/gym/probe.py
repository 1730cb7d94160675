"""Try out, on environments of their own, in which ways a kind of environment comes back exactly."""

from __future__ import annotations

import copy
import random
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from trpo_cli.errors import FOREIGN
from trpo_cli.simulators.gym import wrapper_state
from trpo_cli.simulators.gym.difference import difference
from trpo_cli.simulators.gym.replay import generator_state
from trpo_cli.simulators.gym.simulator import GymnasiumSimulator, Mismatch
from trpo_cli.simulators.same_future import same_future

Env = gymnasium.Env[Any, Any]

_SEED = 17
_LONGEST, _SECONDS = 500, 0.15  # of the first episode, which should reach its end
_FUTURE = 30  # steps after a moment that was put back
_FAILED = {
    "replay": "it could not be tried out",
    "copy": "a deep copy failed",
    "state": "its get_state or set_state failed",
}


def why_not_exact(build: Callable[[], Env], way: str) -> str:
    """The reason why environments of this kind do not come back in a way; empty if they do.

    way: "replay" for snapshots that are portable, "copy" or "state" for the others (see `kept`).

    One environment lives through an episode; then `same_future` puts it and a new one back to
    moments of the former. Global generators must not be drawn from. After a replay the two have
    to agree in every attribute as well, so that what shows its effect much later is seen.

    Global generators are put back. What an environment does later than a few episodes cannot be
    seen here unless an attribute shows it: every restore checks its own outcome too.
    """
    generators = _global_generators()
    envs: list[Env] = []
    try:
        envs += [build(), build()]
        return _try_out(envs[0], envs[1], way)
    except FOREIGN as error:
        cause = error.__cause__ or error
        words = textwrap.shorten(str(cause), 200)
        if isinstance(cause, Mismatch):
            return (
                f"a replay of an episode went another way ({words}): it depends on something "
                "other than np_random and the actions"
            )
        return f"{_FAILED[way]} ({type(cause).__name__}: {words})"
    finally:
        for env in envs:
            env.close()
        _put_back(generators)


def _try_out(first: Env, second: Env, way: str) -> str:
    if way == "replay" and first.render_mode == "human":
        return "it renders to a window, and trying it out would open another"
    if way == "state" and not all(
        callable(getattr(first.unwrapped, name, None)) for name in ("get_state", "set_state")
    ):
        return "it has no get_state and set_state"
    _align_spaces(first, second)
    before = _global_generators()
    ours, other = (
        GymnasiumSimulator([env], "", None, lambda tried: "" if tried == way else "not tried")
        for env in (first, second)
    )
    _live_through_an_episode(ours)
    if way == "replay" and generator_state(first) is None:
        return "its np_random is not a generator of NumPy's"
    if reason := _drawn(before):
        return reason
    shared = _shared(first)
    found = same_future(ours, other, way == "replay", _FUTURE)
    if reason := _drawn(before):
        return reason
    if way != "replay":
        return found
    if found:
        raise Mismatch(found)
    if name := difference(first, second, type(first).__name__):
        return (
            f"{name} was not the same after a replay of the episode: it is carried over from "
            "earlier episodes, or comes from something other than np_random and the actions"
        )
    now = _shared(first)
    changed = [key for key in shared if difference(shared[key], now.get(key), key)]
    return f"it changes {changed[0]}, which all environments of its kind share" if changed else ""


def _live_through_an_episode(simulator: GymnasiumSimulator) -> None:
    space = copy.deepcopy(simulator.action_space)
    space.seed(_SEED)
    simulator.reset(seed=[_SEED])
    until = time.perf_counter() + _SECONDS
    for _ in range(_LONGEST):
        ended = simulator.step(np.array([space.sample()])).ended
        if len(ended) or time.perf_counter() > until:
            return


def _global_generators() -> dict[str, Any]:
    states: dict[str, Any] = {"NumPy": np.random.get_state(legacy=False)}
    states["Python"] = random.getstate()
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state()
    return states


def _drawn(before: dict[str, Any]) -> str:
    """Which global generator is not in the state in which it was, in words."""
    now = _global_generators()
    changed = [name for name in before if difference(before[name], now[name], name)]
    return f"it draws from {changed[0]}'s global random generator" if changed else ""


def _put_back(states: dict[str, Any]) -> None:
    np.random.set_state(states["NumPy"])
    random.setstate(states["Python"])
    if "torch" in states:
        sys.modules["torch"].set_rng_state(states["torch"])


def _align_spaces(first: Env, second: Env) -> None:
    """Give their spaces equal generators: they tell apart only who draws from them later."""
    for ours, theirs in zip(wrapper_state.layers(first), wrapper_state.layers(second), strict=True):
        for key, space in vars(ours).items():
            other = vars(theirs).get(key)
            if isinstance(space, spaces.Space) and other is not space and other is not None:
                space.seed(_SEED)
                other.seed(_SEED)


def _shared(env: Env) -> dict[str, Any]:
    """The plain values and generators in the classes of an environment and in their modules."""
    found: dict[str, Any] = {}
    for layer in wrapper_state.layers(env):
        for kind in type(layer).__mro__:
            if kind.__module__.split(".")[0] in ("gymnasium", "builtins", "abc", "typing"):
                continue
            module = sys.modules.get(kind.__module__)
            for place, owner in ((kind.__qualname__, kind), (kind.__module__, module)):
                for key, value in list(vars(owner).items()) if owner is not None else ():
                    if key.startswith("__"):
                        continue
                    if isinstance(value, np.random.Generator | np.random.RandomState):
                        found[f"{place}.{key}"] = copy.deepcopy(value)
                    elif isinstance(value, bool | int | float | str | tuple | np.ndarray):
                        found[f"{place}.{key}"] = copy.copy(value)
    return found
