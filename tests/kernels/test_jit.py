from typing import Any

import numba
import pytest
from numba.core import event
from numba.core.caching import NullCache

from trpo_cli.kernels.jit import compiled


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_constants_are_no_types_of_their_own():
    """numba would compile a function for 0, for 1 and for other numbers."""

    @compiled
    def inner(x, y):
        return 10 * x + y

    @compiled
    def outer(x):
        return inner(x, 0) + inner(x, 1) + inner(x, y=x) + inner(2, x)

    made: Any = outer
    made._cache = NullCache()  # what is loaded is not compiled
    with event.install_recorder("numba:compile") as seen:
        assert outer(3) == 30 + 31 + 33 + 23
    names = [e.data["dispatcher"].py_func.__name__ for _, e in seen.buffer if e.is_start]
    assert names == ["outer", "inner"]
