"""JSON that gives back exactly what it was given, or refuses it before anything is written.

`json` alone keeps big ints and every bit of a finite float, and changes two things without a word:
a key 1 becomes "1", and NaN becomes a word that is not JSON, which no other programme reads. Here
such a key is an error, and floats that JSON has no word for are written as {"__float__": "nan"}.
"""

from __future__ import annotations

import json
import math
from typing import Any

_FLOAT = "__float__"


def encode(value: Any) -> bytes:
    """JSON of dicts with text keys, lists, text, bools, None, ints of any size, floats.

    Tuples become lists and numpy's scalars plain numbers. Raises TypeError for anything else.
    """
    return json.dumps(_encoded(value, "state"), allow_nan=False).encode()


def decode(data: bytes) -> Any:
    """The value that `encode` was given; raises ValueError when `data` is not such JSON."""
    try:
        return json.loads(data, object_hook=_decoded)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _encoded(value: Any, where: str) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _FLOAT:
                raise TypeError(f"{where} has the key {key!r}; keys must be text")
        return {key: _encoded(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encoded(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _encoded(value.item(), where)
    raise TypeError(f"{where} is a {type(value).__name__}, which JSON cannot hold exactly")


def _decoded(value: dict[str, Any]) -> Any:
    return float(value[_FLOAT]) if value.keys() == {_FLOAT} else value
