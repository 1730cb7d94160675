"""Functions compiled by numba, without the interpreter's lock, kept in a cache of our own.

    @compiled    the arithmetic as it is written: results equal numpy's where the order is the same
    @fused       a * b + c may be rounded once: for networks, where no bits are promised

numba's own cache knows a function by its file and forgets to look at the functions that it calls.
Here everything is kept under one name made of all sources of compiled code: another version of any
of them is another folder. numba itself tells processors and its own versions apart, and writes so
that processes may do so at once.

NUMBA_DISABLE_JIT=1 runs everything in the interpreter, for a debugger.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

PACKAGE = Path(__file__).parents[1]
SOURCES = ("kernels", "simulators/mujoco")
"""Every compiled function is in one of these folders."""

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile for each kind of arguments when it is first called with them."""
    return _compile(function, fastmath=False)


def fused(function: F) -> F:
    """The same; products and sums may be fused, but not reordered."""
    return _compile(function, fastmath={"contract"})


def _compile(function: F, fastmath: Any) -> F:
    made: Any = numba.njit(
        nogil=True, error_model="numpy", fastmath=fastmath, no_cfunc_wrapper=True
    )(function)
    if numba.config.DISABLE_JIT:
        return made
    template = made.get_call_template

    def without_literals(arguments: Any, keywords: Any) -> Any:
        """A constant among the arguments would be a type, and compiled for, of its own."""
        keywords = {name: numba.types.unliteral(kind) for name, kind in keywords.items()}
        return template(tuple(map(numba.types.unliteral, arguments)), keywords)

    made.get_call_template = without_literals
    if cache_folder() is not None:
        made._cache = _Cache(function)
    return made


@cache
def cache_folder() -> Path | None:
    """Where compiled code is kept; None where nothing can be written.

    NUMBA_CACHE_DIR, else the user's cache folder, which nobody else can write to: what lies there
    is executed.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = (Path(given) if given else Path(user) / "trpo_cli") / f"kernels-{digest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):
        return None
    return folder


def is_filled() -> bool:
    """Whether something was compiled here before."""
    folder = cache_folder()
    return folder is not None and any(folder.glob("*.nbi"))


@cache
def digest() -> str:
    """A name for the sources of all compiled code."""
    state = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            state.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
            state.update(path.read_bytes() + b"\0")
    return state.hexdigest()[:16]


class _Locator(_CacheLocator):
    """Tells numba where a function's compiled forms are."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return digest()

    def get_disambiguator(self) -> str:
        return str(self._function.__code__.co_firstlineno)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls(py_func)


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]


class _Cache(FunctionCache):
    _impl_class = _CacheImpl
