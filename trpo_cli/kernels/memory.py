"""Arrays over memory that belongs to somebody else, in compiled code."""

from __future__ import annotations

import ctypes
from typing import Any

import numba
import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from trpo_cli.kernels.jit import compiled


def _pointer_to(kind: Any) -> Any:
    """An intrinsic: an address as a pointer to numbers of a kind."""

    @intrinsic
    def as_pointer(typing_context: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.intp), build

    return as_pointer


_as_floats, _as_ints = _pointer_to(types.float64), _pointer_to(types.int32)


@intrinsic
def _borrow(typing_context: Any, value: Any) -> Any:
    def without_owner(context: Any, builder: Any, kind: Any, x: Any) -> Any:
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, x)
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            return array._getvalue()
        if isinstance(kind, types.BaseTuple):
            for place, part in enumerate(kind):
                own = without_owner(context, builder, part, builder.extract_value(x, place))
                x = builder.insert_value(x, own, place)
        return x

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return without_owner(context, builder, signature.return_type, arguments[0])

    return value(value), build


@compiled
def copy(source: Any, out: Any) -> None:
    """out[:] = source, of one dimension. Written so, it would be compiled with all that numpy
    allows there, and with what it says of shapes that do not fit."""
    for i in range(len(source)):
        out[i] = source[i]


if numba.config.DISABLE_JIT:

    def borrow(value: Any) -> Any:
        return value

    def _array_at(address: int, shape: Any, kind: Any) -> np.ndarray:
        pointer = ctypes.cast(int(address), ctypes.POINTER(kind))
        return np.ctypeslib.as_array(pointer, shape if isinstance(shape, tuple) else (shape,))

    def floats(address: int, shape: Any) -> np.ndarray:
        return _array_at(address, shape, ctypes.c_double)

    def ints(address: int, shape: Any) -> np.ndarray:
        return _array_at(address, shape, ctypes.c_int32)

else:

    @compiled
    def borrow(value: Any) -> Any:
        """An array, or a tuple of arrays and numbers, without a claim to the memory: its caller
        keeps it.

        Compiled code counts the owners of every array, also of those that it only hands on to the
        next function, with instructions that make the cores wait for each other: tens of them a
        step, and all threads count at the same arrays. What is borrowed is not counted.
        """
        return _borrow(value)

    @compiled
    def floats(address: int, shape: Any) -> np.ndarray:
        """The float64 numbers at an address, as an array of a shape; nothing is copied."""
        return carray(_as_floats(address), shape)

    @compiled
    def ints(address: int, shape: Any) -> np.ndarray:
        """The same of int32 numbers."""
        return carray(_as_ints(address), shape)
