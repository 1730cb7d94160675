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
"""Images that are put together at a time on a CPU: they stay in its cache."""


@dataclass(frozen=True)
class Pixels:
    """B images on a network's device.

    images: (N, H, W, S) uint8; rows: (B,) int64, which of them, or None for all in their order.
    """

    images: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images if self.rows is None else self.rows)

    def __getitem__(self, rows: slice | np.ndarray | Tensor) -> Pixels:
        """Some of them, by a slice or their numbers; nothing is copied."""
        if self.rows is not None:
            return Pixels(self.images, self.rows[rows])
        if isinstance(rows, slice):
            return Pixels(self.images[rows])
        return Pixels(self.images, torch.as_tensor(rows, device=self.images.device))

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, S, H, W)."""
        height, width, planes = self.images.shape[1:]
        return len(self), planes, height, width

    def read(self, dtype: torch.dtype) -> Tensor:
        """(B, S, H, W), channels last in memory."""
        # index_select copies whole rows: twenty times as fast on a CPU as images[rows].
        images = self.images if self.rows is None else self.images.index_select(0, self.rows)
        return images.to(dtype).permute(0, 3, 1, 2)


def interleaved(images: Any) -> Pixels:
    """Bytes (B, S, H, W), a tensor or `FrameStacks` of tensors, with their channels last."""
    count, planes, height, width = images.shape
    device = (images.planes if isinstance(images, FrameStacks) else images).device
    result = torch.empty((count, height, width, planes), dtype=torch.uint8, device=device)
    _interleave(images, result)
    return Pixels(result)


def gather_images(images: FrameStacks | Pixels, rows: Tensor, out: Tensor) -> None:
    """The images with these numbers (b,) into `out` (b, H, W, S)."""
    if isinstance(images, FrameStacks):
        _interleave(images[rows], out)
    else:
        numbers = rows if images.rows is None else images.rows[rows]
        torch.index_select(images.images, 0, numbers, out=out)


def _interleave(images: Any, out: Tensor) -> None:
    block = BLOCK if out.device.type == "cpu" else max(1, len(out))
    for start in range(0, len(out), block):
        rows = slice(start, start + block)
        for plane in range(out.shape[-1]):
            if isinstance(images, FrameStacks):
                frames = images.planes.index_select(0, images.index[rows, plane])
            else:
                frames = images[rows, plane]
            out[rows, ..., plane] = frames
