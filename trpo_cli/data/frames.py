"""Observations that are stacks of frames, each frame stored once.

A game shows S = 4 frames at a time, three of them as one step before. Here every frame lies in
memory once, as bytes, and a stack is S row numbers: a quarter of the memory, and a minibatch of
stacks is gathered only when a network reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.maths.arrays import Array, namespace


@dataclass(frozen=True)
class FrameStacks:
    """B observations of S frames each.

    planes: (F, H, W) uint8, single frames; index: (B, S) int64, the planes of each observation,
    oldest first. Both are numpy arrays, or both torch tensors on one device.
    """

    planes: Array
    index: Array

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> FrameStacks:
        """The observations of some rows (a slice or an index array); no frame is copied."""
        return FrameStacks(self.planes, self.index[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, S, H, W)."""
        return (*self.index.shape, *self.planes.shape[1:])

    def stack(self) -> Array:
        """The images themselves, (B, S, H, W) uint8."""
        return self.planes[self.index]


def concatenate(parts: Sequence[Any]) -> Any:
    """One batch from several: arrays, tensors, or `FrameStacks` over the same planes."""
    if isinstance(parts[0], FrameStacks):
        assert all(part.planes is parts[0].planes for part in parts)
        return FrameStacks(parts[0].planes, np.concatenate([part.index for part in parts]))
    return namespace(parts[0]).concatenate(parts)


def colours_last(shape: Sequence[int]) -> bool:
    """Whether images of this shape have their channels last: the shortest of three axes."""
    return len(shape) == 3 and shape[2] < min(shape[0], shape[1])


def channels_first(images: np.ndarray) -> np.ndarray:
    """Images (n, C, H, W), from (n, H, W, C) if they have their colours last."""
    if colours_last(images.shape[1:]):
        return np.ascontiguousarray(np.moveaxis(images, -1, 1))
    return images
