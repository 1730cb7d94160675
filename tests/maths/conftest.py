from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture(params=["numpy", "torch"])
def array(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Copies a numpy array (or a list) into each of the two kinds that the maths runs on."""
    if request.param == "numpy":
        return np.array
    return lambda x: torch.tensor(np.asarray(x))
