"""Conjugate gradients for F x = b with nothing but products F v."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trpo_cli.maths.arrays import Array, copy, namespace

NOT_POSITIVE = "curvature is not positive"


@dataclass(frozen=True)
class CGResult:
    """x: the last good iterate; residual: ||F x - b|| / ||b||; iterations: products spent;
    reason: empty, or why the solver stopped before it was done."""

    x: Array
    residual: float
    iterations: int
    reason: str = ""


def conjugate_gradient(
    product: Callable[[Array], Array], b: Array, iterations: int, tolerance: float = 1e-10
) -> CGResult:
    """Solve F x = b for a symmetric positive definite F (Hestenes & Stiefel 1952).

    Starts at x = 0 and draws no random numbers. Stops after `iterations` products or once
    ||r||^2 <= tolerance ||b||^2. A direction of curvature p'Fp that is not positive (F is not
    positive definite, or not finite) ends the iteration at the last good x, with the reason.
    """
    x = namespace(b).zeros_like(b)
    r, p = copy(b), copy(b)
    start = rr = float(r @ r)
    if not 0.0 < start < float("inf"):
        reason = "zero gradient" if start == 0.0 else "gradient is not finite"
        return CGResult(x, 0.0 if start == 0.0 else float("nan"), 0, reason)
    for done in range(iterations):
        if rr <= tolerance * start:
            return CGResult(x, (rr / start) ** 0.5, done)
        Fp = product(p)
        curvature = float(p @ Fp)
        if not 0.0 < curvature < float("inf"):
            return CGResult(x, (rr / start) ** 0.5, done, NOT_POSITIVE)
        alpha = rr / curvature
        x += alpha * p
        r -= alpha * Fp
        previous, rr = rr, float(r @ r)
        p *= rr / previous
        p += r
    return CGResult(x, (rr / start) ** 0.5, iterations)
