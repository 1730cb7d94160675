"""Images as a convolutional network reads them.

They arrive frame by frame. The first layer wants the numbers of one pixel side by side ("channels
last"), and putting them there costs as much as a third of a small network's forward pass. So it is
done once for a batch, as bytes, and minibatches are gathered from that, rows of memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trpo_cli.data.frames import FrameStacks

BLOCK = 128
"""Images that are put together at a time: they stay in a CPU's cache."""


@dataclass(frozen=True)
class Pixels:
    """B images on a network's device.

    images: (N, H, W, S) uint8; rows: (B,) int64, which of them, or None for all in their order.
    """

    images: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images if self.rows is None else self.rows)

    def __getitem__(self, rows: slice | np.ndarray) -> Pixels:
        """Some of them, by a slice or their numbers; nothing is copied."""
        if self.rows is not None:
            return Pixels(self.images, self.rows[rows])
        if isinstance(rows, slice):
            return Pixels(self.images[rows])
        return Pixels(self.images, torch.from_numpy(rows).to(self.images.device))

    def read(self, dtype: torch.dtype) -> Tensor:
        """(B, S, H, W), channels last in memory."""
        # index_select copies whole rows: twenty times as fast on a CPU as images[rows].
        images = self.images if self.rows is None else self.images.index_select(0, self.rows)
        return images.to(dtype).permute(0, 3, 1, 2)


def interleaved(images: Any) -> Pixels:
    """Bytes (B, S, H, W), a tensor or `FrameStacks` of tensors, with their channels last."""
    count, planes, height, width = images.shape
    stacks = isinstance(images, FrameStacks)
    device = images.planes.device if stacks else images.device
    result = torch.empty((count, height, width, planes), dtype=torch.uint8, device=device)
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        for plane in range(planes):
            if stacks:
                frames = images.planes.index_select(0, images.index[rows, plane])
            else:
                frames = images[rows, plane]
            result[rows, ..., plane] = frames
    return Pixels(result)
