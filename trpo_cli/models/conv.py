"""Convolutional network on one flat parameter vector, with its Jacobian in closed form.

For layers z_l = W_l * h_{l-1} + b_l (a convolution, or a product with the flattened h), h_l =
f(z_l), outputs z_L:

    J v    forward:   dz_l = W_l * dh_{l-1} + dW_l * h_{l-1} + db_l,   dh_l = f'(z_l) dz_l
    J' u   backward:  the transposed convolutions of g_l = f'(z_l) g_{l}, from g_L = u

as `models.mlp` has it for matrices. Activations of a batch are kept, so that a Fisher product
costs two passes and no forward one; a batch too large for that is gone through in chunks again.
The arithmetic is torch's. Small chunks keep activations in the cache of a CPU, where a batch of
2,048 at once takes twice as long.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trpo_cli.data.frames import FrameStacks
from trpo_cli.models.mlp import orthogonal

Layers = list[tuple[Tensor, Tensor]]
"""Weight and bias (outputs,) of each layer, views of one flat vector."""

CHUNK = {"cpu": 128, "cuda": 4096}
"""Rows that go through the network together."""
KEEP_BYTES = 512 * 2**20
"""Activations up to this size are kept between products; those of larger batches are not."""
MANY_PLANES = 16
"""Stacks of more planes are not put together plane by plane."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


class ConvLinearization:
    """The network at one batch of images (B, S, H, W): outputs (B, D) float32, and products
    with the Jacobian.

    It reads the parameters when it is made and when a product is asked for: use it before they
    move.
    """

    def __init__(self, network: ConvNet, layers: Layers, inputs: Any) -> None:
        self._network, self._layers = network, layers
        self._weights = network.prepare(layers)
        self._chunks = network.chunks(inputs)
        kept = len(inputs) * network.activation_bytes <= KEEP_BYTES
        self._kept: list[list[Tensor]] | None = [] if kept else None
        outputs = []
        with torch.no_grad():
            for chunk in self._chunks:
                hidden, z = network.forward(self._weights, chunk)
                outputs.append(z)
                if self._kept is not None:
                    self._kept.append(hidden)
        self.outputs = torch.cat(outputs)

    def _hidden(self) -> Iterator[list[Tensor]]:
        """The activations of each chunk, inputs first."""
        if self._kept is not None:
            yield from self._kept
        else:
            for chunk in self._chunks:
                yield self._network.forward(self._weights, chunk)[0]

    @torch.no_grad()
    def vjp(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """J' u summed over the batch: u (B, D) -> (P,), written into `out` when given."""
        if out is None:
            out = torch.empty(self._network.num_parameters, device=u.device)
        out.zero_()
        gradients, start = self._network.views(out), 0
        for hidden in self._hidden():
            stop = start + len(hidden[0])
            self._network.backward(self._weights, hidden, u[start:stop], gradients)
            start = stop
        return out

    @torch.no_grad()
    def jvp(self, v: Tensor) -> Tensor:
        """J v: v (P,) -> (B, D)."""
        tangents = self._network.convert(self._network.views(v))
        return torch.cat(
            [self._network.tangent(self._weights, tangents, hidden) for hidden in self._hidden()]
        )


class ConvNet:
    """The shape of a network: convolutions without padding, one hidden layer, linear outputs.

    It holds no parameters: they are a flat vector (P,) float32 elsewhere, layer by layer as weight
    (outputs, inputs, k, k) or (outputs, inputs), then bias. Pixels of 0 to 255 count as 0 to 1.

    precision: what all layers but the last compute in; parameters and gradients stay float32.
    """

    def __init__(
        self,
        image: Sequence[int],
        convolutions: Sequence[tuple[int, int, int]],
        hidden: int,
        outputs: int,
        activation: str = "relu",
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        """image: (S, H, W); convolutions: (channels, kernel, stride) of each.

        Raises ValueError when the images are too small for the kernels.
        """
        self.device, self.activation = torch.device(device), activation
        self.dtype = getattr(torch, precision)
        # Measured on a CPU: in float32 the backward pass is 1.2 to 1.5 times faster with channels
        # last, in bfloat16 no faster.
        last = self.dtype == torch.float32 or self.device.type == "cuda"
        self._format = torch.channels_last if last else torch.contiguous_format
        channels, height, width = image
        self.strides: list[int] = []
        shapes: list[tuple[int, ...]] = []
        units = 0
        for number, kernel, stride in convolutions:
            shapes.append((number, channels, kernel, kernel))
            self.strides.append(stride)
            channels, height, width = (
                number,
                (height - kernel) // stride + 1,
                (width - kernel) // stride + 1,
            )
            if min(height, width) < 1:
                raise ValueError(f"images of {tuple(image)} are too small for the kernels")
            units += channels * height * width
        shapes += [(hidden, channels * height * width), (outputs, hidden)]
        self.hidden = hidden
        item = self.dtype.itemsize
        self.activation_bytes = item * (units + hidden + math.prod(image))
        self._parts: list[tuple[slice, slice, tuple[int, ...]]] = []
        end = 0
        for shape in shapes:
            start, middle = end, end + math.prod(shape)
            end = middle + shape[0]
            self._parts.append((slice(start, middle), slice(middle, end), shape))
        self.num_parameters = end
        self._prepared: tuple[Any, Layers] | None = None

    def views(self, flat: Tensor) -> Layers:
        """Weight and bias of each layer; writing to them writes to `flat`."""
        return [(flat[w].view(shape), flat[b]) for w, b, shape in self._parts]

    def initialize(self, flat: Tensor, generator: np.random.Generator, output_gain: float) -> None:
        """Orthogonal weights (Saxe et al. 2014), gain sqrt(2) inside, `output_gain` at the end;
        zero biases."""
        layers = self.views(flat)
        for number, (weight, bias) in enumerate(layers):
            gain = output_gain if number == len(layers) - 1 else math.sqrt(2.0)
            rows, columns = weight.shape[0], math.prod(weight.shape[1:])
            start = gain * orthogonal(generator, columns, rows).T
            weight.copy_(torch.from_numpy(np.ascontiguousarray(start)).view(weight.shape))
            bias.zero_()

    def to_device(self, x: Any) -> Any:
        """x, an array or `FrameStacks`, as tensors on this network's device."""
        if isinstance(x, FrameStacks):
            if not isinstance(x.planes, np.ndarray) and x.planes.device == self.device:
                return x
            return FrameStacks(self.to_device(x.planes), self.to_device(x.index))
        tensor = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
        return tensor.to(self.device, non_blocking=True)

    def linearize(self, layers: Layers, inputs: Any) -> ConvLinearization:
        """Outputs at images (B, S, H, W) and products with the Jacobian; `layers` by `views`."""
        return ConvLinearization(self, layers, inputs)

    @torch.no_grad()
    def outputs(self, layers: Layers, inputs: Any) -> Tensor:
        """Outputs (B, D) alone."""
        weights = self.prepare(layers)
        return torch.cat([self.forward(weights, chunk)[1] for chunk in self.chunks(inputs)])

    def predict(self, layers: Layers, inputs: Any) -> np.ndarray:
        """Outputs (B, D) alone, as numpy: what acting costs."""
        return self.outputs(layers, self.to_device(inputs)).cpu().numpy()

    @torch.no_grad()
    def features(self, layers: Layers, inputs: Any) -> np.ndarray:
        """The last hidden layer (B, hidden), as numpy."""
        weights = self.prepare(layers)
        parts = [self.forward(weights, c)[0][-1] for c in self.chunks(self.to_device(inputs))]
        return torch.cat(parts).float().cpu().numpy()

    def chunks(self, inputs: Any) -> Sequence[Any]:
        """The images in parts that go through the network together: a line search asks for the
        same ones again and again, so what reading them has cost is kept with them."""
        size = CHUNK.get(self.device.type, 4096)
        # No images, which a process may have of a minibatch, are one empty part.
        parts = range(0, max(len(inputs), 1), size)
        if not isinstance(inputs, FrameStacks):
            return [inputs[start : start + size] for start in parts]
        key = (self.dtype, self._format, size)
        if key in inputs.kept:
            found: list[Tensor] = inputs.kept[key]
            return found
        if math.prod(inputs.shape) * self.dtype.itemsize > KEEP_BYTES:
            return [inputs[start : start + size] for start in parts]
        read = [self._read(inputs[start : start + size]) for start in parts]
        inputs.kept[key] = read
        return read

    def _read(self, chunk: Any) -> Tensor:
        """Images (b, S, H, W) as the first layer wants them."""
        interleaved = self._format == torch.channels_last and self.device.type == "cpu"
        if interleaved and chunk.shape[1] <= MANY_PLANES and not _is_read(chunk, self.dtype):
            return _interleave(chunk, self.dtype)
        x = chunk.stack() if isinstance(chunk, FrameStacks) else chunk
        read: Tensor = x.to(self.dtype).contiguous(memory_format=self._format)
        return read

    def prepare(self, layers: Layers) -> Layers:
        """The layers as the arithmetic wants them, kept until the parameters move (torch counts
        the writes to a tensor)."""
        key = (layers[0][0].data_ptr(), layers[0][0]._version)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = key, self.convert(layers)
        return self._prepared[1]

    def convert(self, layers: Layers) -> Layers:
        """Layers in the computing precision, the pixels' scale in the first weight."""
        converted = []
        for number, (weight, bias) in enumerate(layers):
            dtype = torch.float32 if number == len(layers) - 1 else self.dtype
            w = (weight * (1.0 / 255.0) if number == 0 else weight).to(dtype)
            if w.ndim == 4:
                w = w.contiguous(memory_format=self._format)
            converted.append((w, bias.to(dtype)))
        return converted

    def forward(self, weights: Layers, chunk: Any) -> tuple[list[Tensor], Tensor]:
        """Activations, inputs first, and outputs (b, D) float32."""
        hidden = [self._read(chunk)]
        for (weight, bias), stride in zip(weights, self.strides, strict=False):
            hidden.append(self._activate(functional.conv2d(hidden[-1], weight, bias, stride)))
        weight, bias = weights[-2]
        hidden.append(self._activate(functional.linear(hidden[-1].flatten(1), weight, bias)))
        return hidden, functional.linear(hidden[-1].float(), *weights[-1])

    def backward(self, weights: Layers, hidden: list[Tensor], u: Tensor, gradients: Layers) -> None:
        """Add J' u of one chunk to the gradients."""
        _add(gradients[-1], u.T @ hidden[-1].float(), u.sum(0))
        g = self._pull((u @ weights[-1][0]).to(self.dtype), hidden[-1])
        below = hidden[-2].flatten(1)
        _add(gradients[-2], g.T @ below, g.sum(0))
        g = (g @ weights[-2][0]).view(hidden[-2].shape)
        for number in range(len(self.strides) - 1, -1, -1):
            g = self._pull(g.contiguous(memory_format=self._format), hidden[number + 1])
            stride = [self.strides[number]] * 2
            weight = weights[number][0]
            g, d_weight, d_bias = torch.ops.aten.convolution_backward(
                g, hidden[number], weight, [len(weight)], stride, [0, 0], [1, 1], False, [0, 0], 1,
                [number > 0, True, True],
            )  # fmt: skip
            if number == 0:
                d_weight = d_weight.float() * (1.0 / 255.0)
            _add(gradients[number], d_weight, d_bias)

    def tangent(self, weights: Layers, tangents: Layers, hidden: list[Tensor]) -> Tensor:
        """J v of one chunk, (b, D); tangents: v by layers, prepared."""
        dh: Tensor | None = None
        for number, stride in enumerate(self.strides):
            d_weight, d_bias = tangents[number]
            dz = functional.conv2d(hidden[number], d_weight, d_bias, stride)
            if dh is not None:
                dz += functional.conv2d(dh, weights[number][0], None, stride)
            dh = self._pull(dz, hidden[number + 1])
        assert dh is not None
        dz = functional.linear(hidden[-2].flatten(1), *tangents[-2])
        dz += functional.linear(dh.flatten(1), weights[-2][0])
        dh = self._pull(dz, hidden[-1]).float()
        d_weight, d_bias = tangents[-1]
        return functional.linear(hidden[-1].float(), d_weight, d_bias) + dh @ weights[-1][0].T

    def _activate(self, z: Tensor) -> Tensor:
        return z.relu_() if self.activation == "relu" else z.tanh_()

    def _pull(self, g: Tensor, h: Tensor) -> Tensor:
        """f'(z) g, f' from h = f(z)."""
        if self.activation == "relu":
            return torch.ops.aten.threshold_backward(g, h, 0)
        return torch.ops.aten.tanh_backward(g, h)


def _is_read(chunk: Any, dtype: torch.dtype) -> bool:
    """Whether these are the network's inputs already."""
    return isinstance(chunk, Tensor) and chunk.dtype == dtype


def _interleave(chunk: Any, dtype: torch.dtype) -> Tensor:
    """Images (b, S, H, W) with their channels last in memory, plane by plane: converted and put
    into place in one go, three times as fast on a CPU as one after the other."""
    count, planes, height, width = chunk.shape
    read = torch.empty((count, height, width, planes), dtype=dtype)
    for plane in range(planes):
        if isinstance(chunk, FrameStacks):
            read[..., plane] = chunk.planes[chunk.index[:, plane]]
        else:
            read[..., plane] = chunk[:, plane]
    return read.permute(0, 3, 1, 2)


def keep_freed_memory() -> None:
    """Tell the C library to keep what is freed for the next batch, where it can be told so: each
    would fetch its activations from the system page by page again (measured: a sixth of the time of
    an update)."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)


def _add(gradient: tuple[Tensor, Tensor], weight: Tensor, bias: Tensor) -> None:
    gradient[0].add_(weight)
    gradient[1].add_(bias)
