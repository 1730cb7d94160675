"""Arrays over memory that belongs to somebody else, in compiled code."""

from __future__ import annotations

import ctypes
from typing import Any

import numba
import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from trpo_cli.kernels.jit import compiled


@intrinsic
def _as_pointer(typing_context: Any, address: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float64)(types.intp), build


@intrinsic
def _as_int_pointer(typing_context: Any, address: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int32)(types.intp), build


if numba.config.DISABLE_JIT:

    def floats(address: int, shape: Any) -> np.ndarray:
        pointer = ctypes.cast(int(address), ctypes.POINTER(ctypes.c_double))
        return np.ctypeslib.as_array(pointer, shape if isinstance(shape, tuple) else (shape,))

    def ints(address: int, shape: Any) -> np.ndarray:
        pointer = ctypes.cast(int(address), ctypes.POINTER(ctypes.c_int32))
        return np.ctypeslib.as_array(pointer, shape if isinstance(shape, tuple) else (shape,))

else:

    @compiled
    def floats(address: int, shape: Any) -> np.ndarray:
        """The float64 numbers at an address, as an array of a shape; nothing is copied."""
        return carray(_as_pointer(address), shape)

    @compiled
    def ints(address: int, shape: Any) -> np.ndarray:
        """The same of int32 numbers."""
        return carray(_as_int_pointer(address), shape)
