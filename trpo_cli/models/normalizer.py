"""Running mean and variance, constant between updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.data.frames import channels_first
from trpo_cli.distributed.split import WHOLE, Split


class Normalizer:
    """x -> clip((x - mean) / std, -bound, bound) with the mean and variance of all data so far.

    It belongs to a policy: saved, loaded and frozen with it. `update` is called once an iteration,
    between the collection of a batch and what is learned from it: the policy that collects one is
    one well-defined function. Before any data it only clips. Statistics are float64 (Chan et al.
    1983 merge).
    """

    def __init__(self, shape: tuple[int, ...], bound: float, enabled: bool = True) -> None:
        self.bound, self.enabled = bound, enabled
        self.mean = np.zeros(shape, dtype=np.float64)
        self.square = np.zeros(shape, dtype=np.float64)  # sum of squared deviations
        self.count = 0
        self._refresh()

    def _refresh(self) -> None:
        variance = self.square / self.count if self.count else np.ones_like(self.mean)
        # A column that never changes has no scale of its own: leave it centred.
        deviation = np.sqrt(np.where(variance > 1e-12, variance, 1.0))
        self._shift = self.mean.astype(np.float32)
        self._scale = (1.0 / deviation).astype(np.float32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Normalised copy of observations (n, *obs), (n, features) float32."""
        if not self.enabled:
            return x.astype(np.float32).reshape(len(x), -1)
        y = np.subtract(x, self._shift, dtype=np.float32)
        y *= self._scale
        np.minimum(y, self.bound, out=y)
        np.maximum(y, -self.bound, out=y)
        return y.reshape(len(y), -1)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Shift and scale, float32 of one dimension: (x - shift) scale, before it is clipped."""
        return self._shift.reshape(-1), self._scale.reshape(-1)

    def update(self, x: Any, split: Split = WHOLE) -> None:
        """Merge the statistics of a batch (n, *obs) into the running ones."""
        if not self.enabled:
            return
        data = x.astype(np.float64)
        count = split.size(len(data))
        mean = split.sum(data.sum(axis=0)) / count
        square = split.sum(((data - mean) ** 2).sum(axis=0))
        total = self.count + count
        delta = mean - self.mean
        self.square += square + delta**2 * (self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total
        self._refresh()

    def state(self) -> dict[str, np.ndarray]:
        return {
            "mean": self.mean,
            "square": self.square,
            "count": np.array([self.count], dtype=np.int64),
        }

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.mean = np.array(state["mean"])
        self.square = np.array(state["square"])
        self.count = int(state["count"][0])
        self._refresh()


class IdentityNormalizer:
    """The normaliser of images: bytes are on one scale already, which the network knows."""

    enabled = False

    def __call__(self, x: Any) -> Any:
        """Images (n, *obs) with their channels first; `FrameStacks` stay."""
        return channels_first(x) if isinstance(x, np.ndarray) else x

    def update(self, x: Any, split: Split = WHOLE) -> None:
        """Nothing to learn."""

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        pass
