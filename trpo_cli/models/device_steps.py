"""Minibatch steps that a device takes without anybody waiting for it.

Launching the kernels of a small network's step takes a CPU several times longer than a GPU needs
to run them. So the step on a full minibatch is captured in a CUDA graph once, and then replayed:

    samples of the batch -> buffers;   replay: outputs, gradient, clipping, Adam

The buffers stay where they are, so that batches may lie anywhere, and no more than a minibatch is
held twice. Whether a step is taken at all is decided where the numbers are (`Adam.clipped_step`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trpo_cli.data.frames import FrameStacks
from trpo_cli.maths.arrays import Array
from trpo_cli.models.pixels import Pixels, gather_images

CAPTURE = True
"""Whether steps are captured where they can be; benchmarks compare."""
WARM_UP = 3
"""Calls ahead of a capture, as torch advises: libraries allocate in them what they keep."""

Samples = Sequence[Any]
"""What belongs to the samples of a batch: tensors (B, ...), images, distributions."""
Step = Callable[[Samples, int], None]
"""One step on a minibatch: that of its samples, and how many they are."""


class Captured:
    """A function that reads and writes the same tensors in every call: captured in a CUDA graph
    at the first one, and replayed in all.

    state: the tensors that it changes and that mean something afterwards. The calls that warm up
    change nothing of them.
    """

    def __init__(self, function: Callable[[], None], state: Sequence[Tensor]) -> None:
        self._function, self._state = function, state
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        with torch.cuda.device(self._state[0].device):
            if self._graph is None:
                self._graph = self._capture()
            self._graph.replay()
        # Networks keep converted weights until torch has counted a write, and a replay counts none.
        torch.autograd.graph.increment_version(self._state)

    def _capture(self) -> torch.cuda.CUDAGraph:
        before = [x.clone() for x in self._state]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._function()
        torch.cuda.current_stream().wait_stream(aside)
        for x, value in zip(self._state, before, strict=True):
            x.copy_(value)  # a write, after which the captured call converts weights itself
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._function()
        return graph


class MinibatchSteps:
    """Epochs of one kind of step.

    state: the tensors that the step changes. capturable: whether it is nothing but kernels, the
    same ones for every minibatch of a size.
    """

    def __init__(self, step: Step, state: Sequence[Tensor], capturable: bool) -> None:
        self._step, self._state = step, state
        self._capturable = capturable and state[0].is_cuda
        self._key: Any = None
        self._buffers: list[Any] = []
        self._full: Callable[[], None] | None = None

    def epoch(self, samples: Samples, order: Array | None, chunk: int) -> None:
        """A step on each `chunk` samples in this order (B,), and one on those that are left. None:
        one step on all as they are."""
        if order is None or chunk >= len(order):
            self._step(samples, len(samples[0]))
            return
        full = self._prepared(samples, chunk)
        for rows in torch.as_tensor(order, device=self._state[0].device).split(chunk):
            if len(rows) == chunk:
                fill(self._buffers, samples, rows)
                full()
            else:
                rest = [room(x, len(rows)) for x in samples]
                fill(rest, samples, rows)
                self._step(rest, len(rows))

    def _prepared(self, samples: Samples, chunk: int) -> Callable[[], None]:
        """The step on full minibatches, which it reads from the buffers."""
        key = (CAPTURE, chunk, [kind(x) for x in samples])
        if self._full is None or key != self._key:
            self._key, self._buffers = key, [room(x, chunk) for x in samples]
            step = partial(self._step, self._buffers, chunk)
            self._full = Captured(step, self._state) if CAPTURE and self._capturable else step
        return self._full


def kind(x: Any) -> Any:
    """What two batches of the same kind have in common."""
    if isinstance(x, Tensor | FrameStacks | Pixels):
        return tuple(x.shape[1:]), x.dtype if isinstance(x, Tensor) else None
    return type(x), [(name, kind(y)) for name, y in tensors(x).items()]


def room(x: Any, rows: int) -> Any:
    """Memory for so many samples such as those of x."""
    if isinstance(x, Tensor):
        return x.new_empty((rows, *x.shape[1:]))
    if isinstance(x, FrameStacks | Pixels):
        planes, height, width = x.shape[1:]
        device = (x.planes if isinstance(x, FrameStacks) else x.images).device
        size = (rows, height, width, planes)
        return Pixels(torch.empty(size, dtype=torch.uint8, device=device))
    # Of a distribution's tensors those with one axis are the same in all states.
    rooms = {n: room(y, rows if y.ndim > 1 else len(y)) for n, y in tensors(x).items()}
    return dataclasses.replace(x, **rooms)


def fill(buffers: Samples, samples: Samples, rows: Tensor) -> None:
    """The samples with these numbers into what `room` gave."""
    for buffer, x in zip(buffers, samples, strict=True):
        if isinstance(x, Tensor):
            torch.index_select(x, 0, rows, out=buffer)
        elif isinstance(x, FrameStacks | Pixels):
            gather_images(x, rows, buffer.images)
        else:
            for name, y in tensors(x).items():
                into = getattr(buffer, name)
                torch.index_select(y, 0, rows, out=into) if y.ndim > 1 else into.copy_(y)


def tensors(distribution: Any) -> dict[str, Tensor]:
    """The tensors that a distribution consists of, by their names."""
    fields = ((f.name, getattr(distribution, f.name)) for f in dataclasses.fields(distribution))
    return {name: x for name, x in fields if isinstance(x, Tensor)}
