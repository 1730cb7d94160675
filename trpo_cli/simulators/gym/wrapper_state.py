"""What the wrappers around a Gymnasium environment carry from one episode to the next, as JSON.

Running statistics, counters, stacked frames, generators of their own: a replay of an episode needs
them as they were when it began. Gymnasium's own bookkeeping (`TimeLimit` and the like) begins anew
at every reset and is left out.
"""

from __future__ import annotations

import base64
import math
import random
import types
from collections import deque
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Env = gymnasium.Env[Any, Any]

_NOT_OWN = {"env", "_cached_spec", "_metadata"}
_BOOKKEEPING = "gymnasium.wrappers.common"
_DEEPEST = 12
_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_LEFT: dict[str, Any] = {}
"""What JSON cannot hold: it is left as it is, and trying out shows whether that does."""


def layers(env: Env) -> list[Any]:
    """An environment's wrappers from the outermost on, and itself."""
    found: list[Any] = [env]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return found


def save(env: Env) -> list[Any]:
    """The state of each wrapper that may have one, from the outermost on."""
    return [encode(_own(layer)) for layer in _stateful(env)]


def load(env: Env, saved: list[Any]) -> None:
    """Bring the wrappers to a saved state; raises `ValueError` where that cannot be done."""
    for layer, state in zip(_stateful(env), saved, strict=True):
        vars(layer).update(decode(state, _own(layer)))


def reseed(env: Env, seed: int) -> None:
    """Put the wrappers' own generators into states that follow from the seed."""
    for depth, layer in enumerate(_stateful(env)):
        for number, thing in enumerate(vars(layer).values()):
            words = [seed, depth, number]
            if isinstance(thing, np.random.Generator):
                thing.bit_generator.state = type(thing.bit_generator)(words).state
            elif isinstance(thing, np.random.RandomState):
                thing.seed(np.random.SeedSequence(words).generate_state(4))
            elif isinstance(thing, random.Random):
                thing.seed(str(words))


def _stateful(env: Env) -> list[Any]:
    return [layer for layer in layers(env)[:-1] if type(layer).__module__ != _BOOKKEEPING]


def _own(layer: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(layer).items() if key not in _NOT_OWN}


def encode(value: Any, depth: int = 0, met: set[int] | None = None) -> Any:
    """Plain values as they are, everything else as {kind: content}.

    met: the objects so far; one that comes again is one and the same.
    """
    met = set() if met is None else met
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.hasobject:
            return _LEFT
        content = base64.b64encode(array.tobytes()).decode()
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: [array.dtype.str, list(array.shape), content]}
    if isinstance(value, (*_CODE, gymnasium.Env, spaces.Space)) or depth > _DEEPEST:
        return _LEFT

    def inner(items: Any) -> list[Any]:
        return [encode(item, depth + 1, met) for item in items]

    if isinstance(value, dict):
        return {"dict": [inner(pair) for pair in value.items()]}
    if type(value) in (list, tuple, deque):
        return {type(value).__name__: inner(value)}
    if id(value) in met:
        return _LEFT
    met.add(id(value))
    if isinstance(value, np.random.Generator):
        return {"generator": inner([value.bit_generator.state])}
    if isinstance(value, np.random.RandomState):
        return {"state": inner([value.get_state(legacy=False)])}
    if isinstance(value, random.Random):
        return {"state": inner([value.getstate()])}
    if hasattr(value, "__dict__"):
        return {"object": [type(value).__qualname__, *inner([vars(value)])]}
    return _LEFT


def decode(saved: Any, now: Any) -> Any:
    """The value again. now: what stands there; objects and generators are changed in place."""
    if not isinstance(saved, dict):
        return saved
    if not saved:
        return now
    ((kind, content),) = saved.items()
    if kind == "float":
        return float(content)
    if kind in ("array", "scalar"):
        dtype, shape, data = content
        array = np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
        return array if kind == "array" else array[()]
    if kind == "dict":
        before = now if isinstance(now, dict) else {}
        keys = [decode(key, None) for key, _ in content]
        return {k: decode(v, before.get(k)) for k, (_, v) in zip(keys, content, strict=True)}
    if kind in ("list", "tuple", "deque"):
        present = list(now) if isinstance(now, list | tuple | deque) else []
        present += [None] * (len(content) - len(present))
        items = [decode(item, present[k]) for k, item in enumerate(content)]
        if kind == "deque":
            return deque(items, now.maxlen if isinstance(now, deque) else None)
        return tuple(items) if kind == "tuple" else items
    if kind == "generator" and isinstance(now, np.random.Generator):
        now.bit_generator.state = decode(content[0], None)
    elif kind == "state" and isinstance(now, np.random.RandomState):
        now.set_state(decode(content[0], None))
    elif kind == "state" and isinstance(now, random.Random):
        now.setstate(decode(content[0], None))
    elif kind == "object" and type(now).__qualname__ == content[0]:
        vars(now).update(decode(content[1], vars(now)))
    else:
        raise ValueError(f"a wrapper's {kind} cannot be made from {type(now).__name__}")
    return now
