"""Find what differs between two objects, to the bit, by walking all that they hold."""

from __future__ import annotations

import itertools
import random
import struct
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

_MOST = 20_000  # pairs: what is deeper than that in a large object is left to the outcomes
_PLAIN = (type(None), bool, int, str, bytes)
_OPAQUE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
)
# Bookkeeping of Gymnasium's that decides nothing.
_IGNORED = {"_np_random_seed", "_cached_spec", "spec"}
_ONLOOKERS = {
    "gymnasium.wrappers.common.RecordEpisodeStatistics",
    "gymnasium.wrappers.common.PassiveEnvChecker",
}


def difference(ours: Any, theirs: Any, name: str) -> str:
    """The name of the nearest thing in which two objects differ; empty when nothing does.

    Objects without attributes that Python can see (of extension modules, say) count as equal
    unless their class compares by value.
    """
    waiting = deque([(ours, theirs, name)])
    met: dict[tuple[int, int], Any] = {}
    while waiting and len(met) < _MOST:
        a, b, name = waiting.popleft()
        if a is b or (id(a), id(b)) in met:
            continue
        met[id(a), id(b)] = a, b  # kept, so that no other object gets their ids
        if type(a) is not type(b):
            return name
        parts = _parts(a, b, name)
        if parts is None:
            return name
        waiting.extend(parts)
    return ""


def _parts(a: Any, b: Any, name: str) -> list[tuple[Any, Any, str]] | None:
    """The pairs inside two objects of one type; None when the objects themselves differ."""
    if isinstance(a, _PLAIN):
        return [] if a == b else None
    if isinstance(a, float):
        return [] if struct.pack("d", a) == struct.pack("d", b) else None
    if isinstance(a, _OPAQUE):
        return []
    if isinstance(a, np.generic | np.ndarray) or hasattr(type(a), "__array__"):
        return _arrays(np.asarray(a), np.asarray(b), name)
    state = _generator(a)
    if state is not None:
        return None if difference(state, _generator(b), name) else []
    if isinstance(a, itertools.count):
        return [] if repr(a) == repr(b) else None
    if isinstance(a, dict):
        return _dicts(a, b, name)
    if isinstance(a, list | tuple | deque):
        if len(a) != len(b):
            return None
        return [(x, y, f"{name}[{k}]") for k, (x, y) in enumerate(zip(a, b, strict=True))]
    if isinstance(a, set | frozenset):
        if not all(isinstance(item, (*_PLAIN, float, tuple)) for item in a | b):
            return [] if len(a) == len(b) else None
        return [] if a == b else None
    return _objects(a, b)


def _arrays(a: np.ndarray, b: np.ndarray, name: str) -> list[tuple[Any, Any, str]] | None:
    if a.dtype != b.dtype or a.shape != b.shape:
        return None
    if a.dtype.hasobject:
        return [(a.tolist(), b.tolist(), name)]
    return [] if a.tobytes() == b.tobytes() else None


def _generator(thing: Any) -> Any:
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    if isinstance(thing, np.random.BitGenerator):
        return thing.state
    if isinstance(thing, np.random.RandomState):
        return thing.get_state(legacy=False)
    return thing.getstate() if isinstance(thing, random.Random) else None


def _dicts(a: Any, b: Any, name: str) -> list[tuple[Any, Any, str]] | None:
    if not all(isinstance(key, (*_PLAIN, float, tuple)) for key in (*a, *b)):
        return [] if len(a) == len(b) else None  # keys of a class of their own: not comparable
    if a.keys() != b.keys():
        return None
    return [(a[key], b[key], f"{name}[{key!r}]") for key in a]


def _objects(a: Any, b: Any) -> list[tuple[Any, Any, str]] | None:
    mine, other = dict(attributes(a)), dict(attributes(b))
    kind = type(a)
    if not mine and not other:
        if kind.__eq__ is object.__eq__:
            return []
        try:
            return [] if bool(a == b) else None
        except Exception:
            return []
    if f"{kind.__module__}.{kind.__name__}" in _ONLOOKERS:
        mine, other = {"env": mine["env"]}, {"env": other["env"]}
    missing = object()
    return [
        (mine.get(key, missing), other.get(key), f"{kind.__name__}.{key}")
        for key in {**mine, **other}
        if key not in _IGNORED
    ]


def attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, in its `__dict__` and its slots."""
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(thing, slot):
                yield slot, getattr(thing, slot)
