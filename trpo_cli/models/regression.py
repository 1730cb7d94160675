"""The mean squared error of a network with one output."""

from __future__ import annotations

from typing import Any

from trpo_cli.maths.arrays import Array
from trpo_cli.models.policy import Network


def squared_errors(
    network: Network, layers: Any, inputs: Any, targets: Array, count: int, out: Array
) -> Array:
    """The sum of (V - R)^2 over n samples, and the gradient of 1 / `count` of it with respect to
    the parameters, (P,), written into `out`. targets: R, (n, 1)."""
    here = network.linearize(layers, inputs)
    error = here.outputs - targets
    here.vjp(error * (2.0 / count), out=out)
    flat = error.reshape(-1)
    return flat @ flat
