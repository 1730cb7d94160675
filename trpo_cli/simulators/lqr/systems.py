"""Linear systems with quadratic costs: what they are made of, and random ones.

x' = A x + B u + w,   w ~ N(0, W),   x_0 ~ N(0, S)
cost = sum_t gamma^t (x_t' Q x_t + u_t' R u_t)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.errors import UserError

MAX_SIZE = 200
"""Largest number of states or actions: the matrices are dense."""


@dataclass(frozen=True)
class LinearSystem:
    """Sizes: n states, m actions.

    A (n, n), B (n, m): the dynamics. Q (n, n) positive semidefinite, R (m, m) positive definite:
    the cost of a step. noise (n, n): the covariance W. start (n, n): the covariance S.
    discount: gamma; 1 only without noise, as the cost is infinite otherwise.
    """

    A: np.ndarray
    B: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    noise: np.ndarray
    start: np.ndarray
    discount: float = 1.0

    @property
    def states(self) -> int:
        return len(self.A)

    @property
    def actions(self) -> int:
        return self.B.shape[1]


def make_system(
    *,
    A: Any = None,
    B: Any = None,
    Q: Any = 1.0,
    R: Any = 1.0,
    noise: Any = 0.1,
    start: Any = 1.0,
    states: int | None = None,
    actions: int | None = None,
    radius: float = 0.9,
    system_seed: int = 0,
    discount: float = 1.0,
) -> LinearSystem:
    """The system that these words describe: a given one (A and B), or a random stable one.

    A, B: matrices; both or none. states, actions, radius, system_seed: sizes, spectral radius and
    seed of the random dynamics. Q, R: a number times the identity, a diagonal, or a matrix.
    noise, start: a standard deviation, one for each state, or a covariance matrix.
    Raises `UserError` for what does not fit together.
    """
    if (A is None) != (B is None):
        given, missing = ("A", "B") if B is None else ("B", "A")
        raise UserError(f"{given} is given without {missing}: give both, or sizes by states=.")
    if A is None:
        states = _size("states", 2 if states is None else states)
        actions = _size("actions", (states + 1) // 2 if actions is None else actions)
        A, B = random_dynamics(states, actions, radius, system_seed)
    elif states is not None or actions is not None:
        raise UserError("states and actions are sizes of a random system, and A and B are given.")
    A, B = _matrix("A", A), _matrix("B", B)
    n, m = len(A), B.shape[1]
    if A.shape != (n, n) or len(B) != n:
        raise UserError(
            f"A has the shape {A.shape} and B {B.shape}: A must be square, with as many rows as B."
        )
    if not 0.0 < discount <= 1.0:
        raise UserError(f"discount={discount} must be above 0 and at most 1.")
    system = LinearSystem(
        A,
        B,
        _weight("Q", Q, n),
        _weight("R", R, m),
        _covariance("noise", noise, n),
        _covariance("start", start, n),
        discount,
    )
    if np.linalg.eigvalsh(system.R)[0] <= 0.0:
        raise UserError(f"R={R} must be positive: a free action has no best size.")
    return system


def random_dynamics(
    states: int, actions: int, radius: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A (n, n) with independent normal entries, scaled to the spectral radius `radius`, and B
    (n, m) with independent normal entries of variance 1 / n.

    Raises `UserError` for a radius that is not positive or a seed that is none.
    """
    if not 0.0 < radius < 10.0:
        raise UserError(f"radius={radius} must be above 0 and below 10; below 1 is stable.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"system_seed={seed} must be a whole number >= 0.")
    generator = np.random.default_rng(seed)
    A = generator.standard_normal((states, states))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    return A, generator.standard_normal((states, actions)) / np.sqrt(states)


def _size(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
        raise UserError(f"{key}={value} must be a whole number from 1 to {MAX_SIZE}.")
    return value


def _numbers(key: str, value: Any) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{key}={value} is not made of numbers, in rows of one length.") from None
    if not np.isfinite(array).all():
        raise UserError(f"{key}={value} must be finite.")
    return array


def _matrix(key: str, value: Any) -> np.ndarray:
    array = _numbers(key, value)
    if array.ndim != 2 or not 1 <= min(array.shape) <= max(array.shape) <= MAX_SIZE:
        raise UserError(
            f"{key}={value} must be a matrix of at most {MAX_SIZE} rows and columns, such as "
            "[[1,0.1],[0,1]]."
        )
    return array


def _weight(key: str, value: Any, size: int) -> np.ndarray:
    """A positive semidefinite matrix from a number, a diagonal or all of it."""
    array = _numbers(key, value)
    if array.ndim <= 1 and array.size in (1, size):
        array = np.diag(np.broadcast_to(array, size).copy())
    if array.shape != (size, size):
        raise UserError(
            f"{key}={value} must be a number, a list of {size}, or a {size} x {size} matrix."
        )
    spectrum = np.linalg.eigvalsh(array + array.T)
    if not np.allclose(array, array.T, rtol=1e-10) or spectrum[0] < -1e-10 * abs(spectrum[-1]):
        raise UserError(f"{key}={value} must be symmetric, with no eigenvalue below zero.")
    return array


def _covariance(key: str, value: Any, size: int) -> np.ndarray:
    """The same from a standard deviation, one for each state, or a covariance."""
    array = _numbers(key, value)
    if array.ndim <= 1 and (array < 0.0).any():
        raise UserError(f"{key}={value}: a standard deviation is not below zero.")
    return _weight(key, array**2 if array.ndim <= 1 else array, size)
