"""The parts of a batch, shared out between threads.

Torch's own threads meet at the end of every operation: with other work on the machine each waits
there for the slowest, and what they add up depends on how many they are. Here a thread works on
whole parts, and what they give comes back in order: the same for any number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_threads = 1


def use_threads(threads: int) -> None:
    """How many threads `each` may use from here on."""
    global _threads
    _threads = threads


def each(function: Callable[[Any], T], parts: Sequence[Any]) -> Iterator[T]:
    """function(part) for each part, in order."""
    if _threads == 1 or len(parts) == 1:
        return map(function, parts)
    return _pool(_threads).map(function, parts)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    import torch

    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
