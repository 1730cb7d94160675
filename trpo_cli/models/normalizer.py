"""Running mean and variance, constant between updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.data.frames import channels_first
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.maths.arrays import Array

CHUNK = 2**16
"""Rows of a tensor that are turned into float64 at once."""


class Normalizer:
    """x -> clip((x - mean) / std, -bound, bound) with the mean and variance of all data so far.

    It belongs to a policy: saved, loaded and frozen with it. `update` is called once an iteration,
    between the collection of a batch and what is learned from it: the policy that collects one is
    one well-defined function. Before any data it only clips. Statistics are float64 (Chan et al.
    1983 merge). `hold` keeps what acts behind them.
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
        self._act(self.mean.astype(np.float32), (1.0 / deviation).astype(np.float32))
        self._held = False

    def _act(self, shift: np.ndarray, scale: np.ndarray) -> None:
        self._shift, self._scale = shift, scale
        self._moved: tuple[Array, Array] | None = None

    def __call__(self, x: Array) -> Array:
        """Normalised copy of observations (n, *obs), (n, features) float32: of an array one, of a
        tensor one on its device."""
        if not isinstance(x, np.ndarray):
            return self._there(x)
        if not self.enabled:
            return x.astype(np.float32).reshape(len(x), -1)
        y = np.subtract(x, self._shift, dtype=np.float32)
        y *= self._scale
        np.minimum(y, self.bound, out=y)
        np.maximum(y, -self.bound, out=y)
        return y.reshape(len(y), -1)

    def _there(self, x: Array) -> Array:
        """The same of a tensor. Statistics travel to its device once an iteration."""
        if self.enabled:
            if self._moved is None or self._moved[0].device != x.device:
                self._moved = x.new_tensor(self._shift), x.new_tensor(self._scale)
            shift, scale = self._moved
            x = ((x - shift) * scale).clamp_(-self.bound, self.bound)
        return x.reshape(len(x), -1)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Shift and scale, float32 of one dimension: (x - shift) scale, before it is clipped."""
        return self._shift.reshape(-1), self._scale.reshape(-1)

    def acting(self) -> tuple[np.ndarray, np.ndarray]:
        """Shift and scale of the observations' own shape; `hold` goes back towards them."""
        return self._shift, self._scale

    def hold(self, before: tuple[np.ndarray, np.ndarray], part: float) -> None:
        """Act with the share `part` of the way from `before` to the statistics, until the next
        update, which goes on from there."""
        self._refresh()
        ways = zip(before, self.acting(), strict=True)
        shift, scale = (old + np.float32(part) * (new - old) for old, new in ways)
        self._act(shift, scale)
        self._held = True

    def update(self, x: Any, split: Split = WHOLE) -> None:
        """Merge the statistics of a batch (n, *obs) into the running ones."""
        if not self.enabled:
            return
        parts = [x.astype(np.float64)] if isinstance(x, np.ndarray) else x.split(CHUNK)
        count = split.size(len(x))
        mean = split.sum(sum(_total(part) for part in parts)) / count
        square = split.sum(sum(_total(part, mean) for part in parts))
        total = self.count + count
        delta = mean - self.mean
        self.square += square + delta**2 * (self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total
        self._refresh()

    def state(self) -> dict[str, np.ndarray]:
        statistics = {
            "mean": self.mean,
            "square": self.square,
            "count": np.array([self.count], dtype=np.int64),
        }
        held = {"shift": self._shift, "scale": self._scale} if self._held else {}
        return {**statistics, **held}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.mean = np.array(state["mean"])
        self.square = np.array(state["square"])
        self.count = int(state["count"][0])
        self._refresh()
        if "shift" in state:
            self._act(np.array(state["shift"]), np.array(state["scale"]))
            self._held = True


def _total(x: Array, mean: np.ndarray | None = None) -> np.ndarray:
    """The float64 sum over the rows of x, or of their squared deviations from `mean`."""
    if isinstance(x, np.ndarray):
        total = x.sum(axis=0) if mean is None else ((x - mean) ** 2).sum(axis=0)
        return np.asarray(total)
    x = x.double()
    if mean is not None:
        x = (x - x.new_tensor(mean)) ** 2
    return np.asarray(x.sum(0).cpu())


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
