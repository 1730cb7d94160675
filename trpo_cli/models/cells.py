"""Recurrent cells: one step of time, and products with its Jacobian in closed form.

A cell of H units maps a (n, G H), what the input contributes to its G gates, and its state s (n, S)
to the next state; the first H numbers of a state are its output h. U (H, G H) are the recurrent
weights, p = h U. s(t) is the logistic function.

`push` is forward mode and `pull` backward mode: with respect to a, to p and to the state.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from trpo_cli.models.mlp import sigmoid

Kept = tuple[np.ndarray, ...]
"""What a step leaves for the products."""


class Cell(Protocol):
    """gates: G. parts: S / H. keeps: which gate begins with a bias of 1, so that a fresh cell
    remembers (Gers et al. 2000; Jozefowicz et al. 2015)."""

    gates: int
    parts: int
    keeps: int

    def step(self, a: np.ndarray, state: np.ndarray, weights: np.ndarray) -> Any:
        """The next state (n, S), and what the products need."""
        ...

    def push(self, kept: Kept, da: np.ndarray, dp: np.ndarray, ds: np.ndarray) -> np.ndarray:
        """The next state's tangent (n, S)."""
        ...

    def pull(self, kept: Kept, g: np.ndarray, weights: np.ndarray) -> Any:
        """From the next state's cotangent (n, S): those of a, of p and of the state."""
        ...


class GRU:
    """Gated recurrent unit (Cho et al. 2014, 1406.1078), the gates in the order r, z, n:

        r = s(a_r + p_r),  z = s(a_z + p_z),  n = tanh(a_n + r p_n)
        h' = (1 - z) n + z h

    r acts on p_n as in cuDNN and torch; in the paper it acts on h before the product with U.
    """

    gates, parts, keeps = 3, 1, 1

    def step(self, a: np.ndarray, state: np.ndarray, weights: np.ndarray) -> Any:
        p = state @ weights
        size = state.shape[1]
        gates = sigmoid(a[:, : 2 * size] + p[:, : 2 * size])
        r, z, p_n = gates[:, :size], gates[:, size:], p[:, 2 * size :]
        n = np.tanh(a[:, 2 * size :] + r * p_n)
        gap = state - n
        return n + z * gap, (gates, n, p_n, gap)

    def push(self, kept: Kept, da: np.ndarray, dp: np.ndarray, ds: np.ndarray) -> np.ndarray:
        gates, n, p_n, gap = kept
        size = n.shape[1]
        r, z = gates[:, :size], gates[:, size:]
        d_gates = gates * (1.0 - gates) * (da[:, : 2 * size] + dp[:, : 2 * size])
        dr, dz = d_gates[:, :size], d_gates[:, size:]
        dn = (1.0 - n * n) * (da[:, 2 * size :] + dr * p_n + r * dp[:, 2 * size :])
        return np.asarray(dn + z * (ds - dn) + dz * gap)

    def pull(self, kept: Kept, g: np.ndarray, weights: np.ndarray) -> Any:
        gates, n, p_n, gap = kept
        size = n.shape[1]
        r, z = gates[:, :size], gates[:, size:]
        kept_part = g * z
        g_n = (g - kept_part) * (1.0 - n * n)
        slopes = gates * (1.0 - gates)
        g_gates = np.concatenate([g_n * p_n, g * gap], axis=1) * slopes
        of_p = np.concatenate([g_gates, g_n * r], axis=1)
        return np.concatenate([g_gates, g_n], axis=1), of_p, kept_part + of_p @ weights.T


class LSTM:
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000),
    the gates in the order i, f, q, o; the state is (h, c):

        i = s(a_i + p_i),  f = s(a_f + p_f),  q = tanh(a_q + p_q),  o = s(a_o + p_o)
        c' = f c + i q,  h' = o tanh(c')
    """

    gates, parts, keeps = 4, 2, 1

    def step(self, a: np.ndarray, state: np.ndarray, weights: np.ndarray) -> Any:
        size = state.shape[1] // 2
        c = state[:, size:]
        before = a + state[:, :size] @ weights
        i, f, o = (sigmoid(before[:, k * size : (k + 1) * size]) for k in (0, 1, 3))
        q = np.tanh(before[:, 2 * size : 3 * size])
        after = f * c + i * q
        t = np.tanh(after)
        return np.concatenate([o * t, after], axis=1), (i, f, q, o, c, t)

    def push(self, kept: Kept, da: np.ndarray, dp: np.ndarray, ds: np.ndarray) -> np.ndarray:
        i, f, q, o, c, t = kept
        size = i.shape[1]
        d_i, d_f, d_q, d_o = np.split(da + dp, 4, axis=1)
        dc = f * (ds[:, size:] + (1.0 - f) * d_f * c)
        dc += i * ((1.0 - i) * d_i * q + (1.0 - q * q) * d_q)
        dh = o * ((1.0 - o) * d_o * t + (1.0 - t * t) * dc)
        return np.concatenate([dh, dc], axis=1)

    def pull(self, kept: Kept, g: np.ndarray, weights: np.ndarray) -> Any:
        i, f, q, o, c, t = kept
        size = i.shape[1]
        through = g[:, :size] * o
        g_c = g[:, size:] + through * (1.0 - t * t)
        g_i, g_q = g_c * q * i * (1.0 - i), g_c * i * (1.0 - q * q)
        of_c = g_c * f
        of_a = np.concatenate([g_i, of_c * c * (1.0 - f), g_q, through * t * (1.0 - o)], axis=1)
        return of_a, of_a, np.concatenate([of_a @ weights.T, of_c], axis=1)


CELLS: dict[str, Cell] = {"gru": GRU(), "lstm": LSTM()}
