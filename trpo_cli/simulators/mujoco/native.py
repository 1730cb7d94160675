"""MuJoCo's C functions, numpy's inner loops and libm, callable from compiled code.

Models and data are given by their addresses (`MjModel._address`). The functions are found by name
in the library that the package `mujoco` has loaded, so that compiled code can be kept and used by
another process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import mujoco
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from trpo_cli.errors import RunFailed
from trpo_cli.kernels.jit import compiled


def _library() -> str:
    """The file of the MuJoCo library."""
    folder = Path(mujoco.__file__).parent
    ending = {"darwin": "libmujoco*.dylib", "win32": "mujoco.dll"}
    found = sorted(folder.glob(ending.get(sys.platform, "libmujoco.so*")))
    if not found:
        raise ImportError(f"no MuJoCo library in {folder}; try to install mujoco again")
    return str(found[0])


LIBRARY = _library()
_C = ctypes.CDLL(LIBRARY)
llvm.load_library_permanently(LIBRARY)


@ctypes.CFUNCTYPE(None, ctypes.c_char_p)
def _give_up(message: bytes) -> None:
    """What MuJoCo calls when it cannot go on, within compiled code: there is no way back from
    there. (It would wait for a key to be pressed. Errors in calls from Python still raise.)"""
    words = message.decode(errors="replace").strip().rstrip(".")
    print(
        f"error: MuJoCo cannot go on: {words}. A run goes on from its last checkpoint with "
        "resume=DIR; more memory for a model is <size memory=...> in its XML file.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(RunFailed.exit_status)


ctypes.c_void_p.in_dll(_C, "mju_user_error").value = ctypes.cast(_give_up, ctypes.c_void_p).value


def _function(name: str, *arguments: Any) -> Any:
    """The C function `name`, which returns nothing."""
    if numba.config.DISABLE_JIT:
        function = getattr(_C, name)
        function.restype = None
        function.argtypes = [
            ctypes.c_int if a is types.int32 else ctypes.c_void_p for a in arguments
        ]
        return lambda *given: function(*map(int, given))
    return types.ExternalFunction(name, types.void(*arguments))


mj_step = _function("mj_step", types.intp, types.intp)
mj_forward = _function("mj_forward", types.intp, types.intp)
mj_resetData = _function("mj_resetData", types.intp, types.intp)
mj_rnePostConstraint = _function("mj_rnePostConstraint", types.intp, types.intp)
mj_getState = _function("mj_getState", types.intp, types.intp, types.intp, types.int32)
mj_setState = _function("mj_setState", types.intp, types.intp, types.intp, types.int32)

FULL_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
"""All that decides a simulation's future, the solver's warm start included."""


SIN, COS, VECDOT, FLOAT_POWER = range(4)


def numpy_loops() -> np.ndarray:
    """(4, 2) int64: the C loops that numpy runs for these functions of float64, each with its data.

    What numpy computes with vector instructions differs from libm in the last bit. Where an
    environment's own code calls numpy, so does ours, from compiled code.
    """
    loops = [(np.sin, "d->d"), (np.cos, "d->d"), (np.vecdot, "dd->d"), (np.float_power, "dd->d")]
    return np.array([_loop_of(function, types) for function, types in loops])


def _loop_of(ufunc: Any, signature: str) -> tuple[int, int]:
    """Function and data, from PyUFuncObject (numpy/ufuncobject.h): behind the object's header
    stand nin, nout, nargs and identity, then the arrays `functions` and `data`."""
    place, word = ufunc.types.index(signature), ctypes.sizeof(ctypes.c_void_p)
    behind = id(ufunc) + object.__basicsize__ + 4 * ctypes.sizeof(ctypes.c_int)

    def entry(array: int) -> int:
        start = ctypes.c_void_p.from_address(behind + array * word).value
        return ctypes.c_void_p.from_address((start or 0) + place * word).value or 0

    return entry(0), entry(1)


@intrinsic
def _call(
    typing_context: Any, function: Any, arguments: Any, sizes: Any, steps: Any, data: Any
) -> Any:
    """Call void (char **arguments, npy_intp *sizes, npy_intp *steps, void *data)."""

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        pointer = cgutils.voidptr_t
        kind = ir.FunctionType(ir.VoidType(), [pointer] * 4)
        called = builder.inttoptr(given[0], kind.as_pointer())
        builder.call(called, [builder.inttoptr(each, pointer) for each in given[1:]])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), build


if numba.config.DISABLE_JIT:
    _LOOP = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)

    def _call(function: int, arguments: int, sizes: int, steps: int, data: int) -> None:
        _LOOP(int(function))(arguments, sizes, steps, int(data))


@compiled
def elementwise(loop: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
    """out = f(values), (n,) float64, by numpy's own loop for f."""
    call = np.full(5, 8, np.int64)
    call[0], call[1] = values.ctypes.data, out.ctypes.data
    call[2] = len(values)
    start = call.ctypes.data
    _call(loop[0], start, start + 16, start + 24, loop[1])
    call[0] = 0  # alive until here


@compiled
def pairwise(loop: np.ndarray, left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """out = f(left, right), (n,) float64, by numpy's own loop for f."""
    call = np.full(7, 8, np.int64)
    call[0], call[1], call[2] = left.ctypes.data, right.ctypes.data, out.ctypes.data
    call[3] = len(left)
    start = call.ctypes.data
    _call(loop[0], start, start + 24, start + 32, loop[1])
    call[0] = 0


@compiled
def dot(loop: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """The dot product of two float64 vectors by the loop of ``np.vecdot``."""
    out, call = np.zeros(1), np.full(10, 8, np.int64)
    call[0], call[1], call[2] = left.ctypes.data, right.ctypes.data, out.ctypes.data
    call[3], call[4] = 1, len(left)
    start = call.ctypes.data
    _call(loop[0], start, start + 24, start + 40, loop[1])
    call[0] = 0
    return float(out[0])
