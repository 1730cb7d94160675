"""The deviation of a Gaussian that depends on the state, for compiled code: see
`maths.state_gaussian`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trpo_cli.kernels.jit import fused

f32 = np.float32


@fused
def log_std_of(u: Any, first: Any) -> tuple[Any, Any]:
    """log sigma, and its derivative with respect to u, one number each; first: float32."""
    bend = f32(math.tanh(u / f32(3.0)))
    return first + f32(3.0) * bend, f32(1.0) - bend * bend
