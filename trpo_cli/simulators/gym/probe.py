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

from trpo_cli.simulators.gym import wrapper_state
from trpo_cli.simulators.gym.difference import difference
from trpo_cli.simulators.gym.replay import Origin, begin, begin_again, generator_state
from trpo_cli.simulators.gym.simulator import GymnasiumSimulator
from trpo_cli.simulators.same_future import same_future

_SEED = 17
_LONGEST, _SECONDS = 500, 0.15  # of the first episode, which should reach its end
_SHORT, _EPISODES, _FUTURE = 7, 3, 20  # steps of a cut episode, of those; steps afterwards


def why_not_restorable(build: Callable[[], gymnasium.Env[Any, Any]]) -> str:
    """The reason why environments of this kind cannot be restored by a replay; empty if they can.

    One environment lives through several episodes; a new one then replays the last of them. They
    have to agree to the bit in all they returned, in their generators, in every attribute, and in
    what they return in the episodes that follow; and a replay in an environment that has lived
    has to give the same as in a new one. Global generators must not be drawn from.

    Global generators are put back. What an environment does later than a few episodes cannot be
    seen here unless an attribute shows it: every restore checks its own outcome too.
    """
    kept = global_generators()
    envs: list[gymnasium.Env[Any, Any]] = []

    def make() -> gymnasium.Env[Any, Any]:
        envs.append(build())
        return envs[-1]

    try:
        return _try_out(make)
    except Exception as error:
        words = textwrap.shorten(str(error), 200)
        return f"it could not be tried out ({type(error).__name__}: {words})"
    finally:
        for env in envs:
            env.close()
        put_back(kept)


def way_to_keep(build: Callable[[], gymnasium.Env[Any, Any]]) -> tuple[str, str]:
    """("copy" or "state", "") for a kind of environment, or ("", why neither is exact)."""
    reasons = []
    for way in ("copy", "state"):
        reason = _why_not_kept(build, way)
        if not reason:
            return way, ""
        reasons.append(reason)
    return "", "; ".join(reasons)


def _why_not_kept(build: Callable[[], gymnasium.Env[Any, Any]], way: str) -> str:
    envs, generators = [build(), build()], global_generators()
    try:
        if way == "state" and not all(
            callable(getattr(envs[0].unwrapped, name, None)) for name in ("get_state", "set_state")
        ):
            return "it has no get_state and set_state"
        ours, other = (
            GymnasiumSimulator([env], "", None, lambda: "", lambda: (way, "")) for env in envs
        )
        reason = same_future(ours, other, portable=False)
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


class _Life:
    """An environment with all it has returned in its current episode."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env, self.new = env, wrapper_state.save(env)
        self.origin: Origin | None = None
        self.actions: list[Any] = []
        self.seen: list[Any] = []

    def begin(self, seed: int | None = None) -> None:
        observation, self.origin = begin(self.env, seed, self.origin, self.new)
        self.actions, self.seen = [], [_bits(observation)]

    def act(self, action: Any) -> bool:
        self.actions.append(action)
        # A copy, as it may be changed by the environment.
        result = self.env.step(copy.deepcopy(action))
        observation, reward, terminated, truncated, _ = result
        self.seen.append((_bits(observation), _bits(reward), bool(terminated), bool(truncated)))
        return bool(terminated or truncated)

    def follow(self, origin: Origin, actions: list[Any]) -> None:
        self.origin = origin
        self.actions, self.seen = [], [_bits(begin_again(self.env, origin))]
        for action in actions:
            self.act(action)


def _try_out(make: Callable[[], gymnasium.Env[Any, Any]]) -> str:
    first = _Life(make())
    if first.env.render_mode == "human":
        return "it renders to a window, and trying it out would open another"
    second = _Life(make())
    _align_spaces(first.env, second.env)
    drawn_before = global_generators()
    space = copy.deepcopy(first.env.action_space)
    space.seed(_SEED)

    first.begin(_SEED)
    until = time.perf_counter() + _SECONDS
    for _ in range(_LONGEST):
        if first.act(space.sample()) or time.perf_counter() > until:
            break
    assert first.origin is not None
    seeded = first.origin, first.actions, first.seen
    for _ in range(_EPISODES):
        first.begin()
        for _ in range(_SHORT):
            if first.act(space.sample()):
                first.begin()
    if not first.actions and first.act(space.sample()):
        first.begin()
    if generator_state(first.env) is None:
        return "its np_random is not a generator of NumPy's"
    name = drawn(drawn_before)
    if name:
        return f"it draws from {name}'s global random generator"
    shared = _shared(first.env)

    second.follow(first.origin, first.actions)
    reason = _differ(first, second)
    if reason:
        return reason
    for step in range(_FUTURE):
        action = space.sample()
        ended = [life.act(action) for life in (first, second)]
        if first.seen != second.seen:
            return "after a replay the same actions gave another future"
        if any(ended) or step == _FUTURE // 2:
            first.begin()
            second.begin()
    reason = _differ(first, second)
    if reason:
        return reason
    second.follow(seeded[0], seeded[1])
    if second.seen != seeded[2]:
        return _another(seeded[2], second.seen)
    now = _shared(first.env)
    changed = [key for key in shared if difference(shared[key], now.get(key), key)]
    if changed:
        return f"it changes {changed[0]}, which all environments of its kind share"
    name = drawn(drawn_before)
    return f"it draws from {name}'s global random generator" if name else ""


def _differ(first: _Life, second: _Life) -> str:
    if first.seen != second.seen:
        return _another(first.seen, second.seen)
    name = difference(first.env, second.env, type(first.env).__name__)
    if name:
        return (
            f"{name} was not the same after a replay of the episode: it is carried over from "
            "earlier episodes, or comes from something other than np_random and the actions"
        )
    return ""


def _another(ours: list[Any], theirs: list[Any]) -> str:
    step = next((k for k, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), 0)
    what = f"step {step}" if step else "the reset"
    return (
        f"a replay of an episode went another way at {what}: it depends on something other than "
        "np_random and the actions"
    )


def _bits(value: Any) -> Any:
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes()


def global_generators() -> dict[str, Any]:
    states: dict[str, Any] = {"NumPy": np.random.get_state(legacy=False)}
    states["Python"] = random.getstate()
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state()
    return states


def drawn(before: dict[str, Any]) -> str:
    """The name of a global generator whose state is not what it was."""
    now = global_generators()
    return next((name for name in before if difference(before[name], now[name], name)), "")


def put_back(states: dict[str, Any]) -> None:
    np.random.set_state(states["NumPy"])
    random.setstate(states["Python"])
    if "torch" in states:
        sys.modules["torch"].set_rng_state(states["torch"])


def _align_spaces(first: gymnasium.Env[Any, Any], second: gymnasium.Env[Any, Any]) -> None:
    """Give their spaces equal generators: they tell apart only who draws from them later."""
    for ours, theirs in zip(wrapper_state.layers(first), wrapper_state.layers(second), strict=True):
        for key, space in vars(ours).items():
            other = vars(theirs).get(key)
            if isinstance(space, spaces.Space) and other is not space and other is not None:
                space.seed(_SEED)
                other.seed(_SEED)


def _shared(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
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
