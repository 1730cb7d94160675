"""Arrays in memory that the simulator's process and its workers all see."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence

import numpy as np

Field = tuple[str, tuple[int, ...], "np.dtype | type"]
"""The name, shape and dtype of an array."""


def _size(shape: tuple[int, ...], dtype: np.dtype | type) -> int:
    """In bytes, rounded up to whole cache lines: two processes do not write into one line."""
    return -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // 64) * 64


def anonymous_file(fields: Sequence[Field]) -> int:
    """A file descriptor for the arrays. The file has no name: nothing stays if all are killed."""
    size = sum(_size(shape, dtype) for _, shape, dtype in fields)
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("environments")
    else:
        fd, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(fd, size)
    return fd


def map_arrays(fd: int, fields: Sequence[Field]) -> dict[str, np.ndarray]:
    """The arrays in the file `fd`, which may be closed afterwards."""
    memory = mmap.mmap(fd, os.fstat(fd).st_size)
    arrays, offset = {}, 0
    for name, shape, dtype in fields:
        arrays[name] = np.ndarray(shape, dtype=dtype, buffer=memory, offset=offset)
        offset += _size(shape, dtype)
    return arrays
