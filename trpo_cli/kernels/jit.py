"""Functions compiled by numba, without the interpreter's lock, kept in a cache of our own.

    @compiled    the arithmetic as it is written: results equal numpy's where the order is the same
    @fused       a * b + c may be rounded once: for networks, where no bits are promised

A function is compiled for each kind of arguments when Python first calls it with them. What it
calls itself is compiled with it. `kernels.store` keeps the result for other processes.

NUMBA_DISABLE_JIT=1 runs everything in the interpreter, for a debugger.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite.binding
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps

from trpo_cli.kernels import store
from trpo_cli.kernels.parts import PartCompiler

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile for each kind of arguments when it is first called with them."""
    return _compile(function, fastmath=False)


def fused(function: F) -> F:
    """The same; products and sums may be fused, but not reordered."""
    return _compile(function, fastmath={"contract"})


def _compile(function: F, fastmath: Any) -> F:
    made, part = (
        numba.njit(
            nogil=True, error_model="numpy", fastmath=fastmath, no_cfunc_wrapper=True, **more
        )(function)
        for more in ({}, {"no_cpython_wrapper": True, "pipeline_class": PartCompiler})
    )  # type: Any, Any
    if numba.config.DISABLE_JIT:
        return made
    compile_now = made.compile

    def compile_in_turn(signature: Any) -> Any:
        with global_compiler_lock:
            try:
                return compile_now(signature)
            finally:
                store.end_turn()

    def as_a_part(arguments: Any, keywords: Any) -> Any:
        """A constant among the arguments would be a type, and compiled for, of its own."""
        keywords = {name: numba.types.unliteral(kind) for name, kind in keywords.items()}
        return part.get_call_template(tuple(map(numba.types.unliteral, arguments)), keywords)

    made.compile = compile_in_turn
    made._cache = _Kept(function)
    made.get_call_template, made.get_overload = as_a_part, part.get_overload
    part._compiling_counter = made._compiling_counter  # so a function finds that it calls itself
    return made


class _Kept(NullCache):
    """Where numba looks for a function before it compiles it, and what it gives the result to."""

    def __init__(self, function: Any) -> None:
        self._function = f"{function.__module__}.{function.__qualname__}".removeprefix("trpo_cli.")

    def load_overload(self, signature: Any, context: Any) -> Any:
        context.refresh()
        name = self._name(signature, context.codegen())
        found = store.find(name) or store.find_in_turn(name)
        return None if found is None else CompileResult._rebuild(context, *pickle.loads(found))

    def save_overload(self, signature: Any, result: Any) -> None:
        store.keep(self._name(signature, result.codegen), dumps(result._reduce()))
        # Of the parts as well: an exception makes its arguments' objects with them.
        for environment in result._find_referenced_environments():
            result.codegen.set_env(environment.env_name, environment)

    def _name(self, signature: Any, codegen: Any) -> str:
        """magic_tuple: the processor compiled for. The one that does so decides `vector.LANES`."""
        host = sorted(llvmlite.binding.get_host_cpu_features().items())
        numbas = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
        key = repr((signature, codegen.magic_tuple(), host, numbas))
        return f"{self._function}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
