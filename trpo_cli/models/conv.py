"""Convolutional network on one flat parameter vector, with its Jacobian in closed form.

For layers z_l = W_l * h_{l-1} + b_l (a convolution, or a product with the flattened h), h_l =
f(z_l), outputs z_L:

    J v    forward:   dz_l = W_l * dh_{l-1} + dW_l * h_{l-1} + db_l,   dh_l = f'(z_l) dz_l
    J' u   backward:  the transposed convolutions of g_l = f'(z_l) g_{l}, from g_L = u

as `models.mlp` has it for matrices. Activations of a batch are kept, so that a Fisher product
costs two passes and no forward one; a batch too large for that is gone through in chunks again.
The arithmetic is torch's. Small chunks keep activations in the cache of a CPU, where a batch of
2,048 at once takes twice as long, and threads share them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trpo_cli.data.frames import FrameStacks
from trpo_cli.models.mlp import orthogonal
from trpo_cli.models.parts import each
from trpo_cli.models.pixels import Pixels, interleaved
from trpo_cli.models.torch_mlp import ACTIVATE, PULL

T = TypeVar("T")
Layers = list[tuple[Tensor, Tensor]]
"""Weight and bias (outputs,) of each layer, views of one flat vector."""

CHUNK = {"cpu": 128, "cuda": 4096}
"""Rows that go through the network together."""
KEEP_BYTES = {"cpu": 512 * 2**20, "cuda": 8 * 2**30}
"""Images with their channels last, and activations, are kept up to this size; those of larger
batches are made again."""


class ConvLinearization:
    """The network at one batch of images (B, S, H, W): outputs (B, D) float32, and products
    with the Jacobian.

    It reads the parameters when it is made and when a product is asked for: use it before they
    move.
    """

    def __init__(self, network: ConvNet, layers: Layers, inputs: Any) -> None:
        self._network = network
        self._weights = network.prepare(layers)
        self._chunks = network.chunks(inputs)
        keep = network.keeps(len(inputs) * network.activation_bytes)
        self._kept: list[list[Tensor] | None] = []
        outputs = []
        for hidden, z in network.each(self._forward, self._chunks):
            outputs.append(z)
            self._kept.append(hidden if keep else None)
        self.outputs = torch.cat(outputs)

    def _forward(self, chunk: Any) -> tuple[list[Tensor], Tensor]:
        return self._network.forward(self._weights, chunk)

    def _hidden(self, number: int) -> list[Tensor]:
        """The activations of a chunk, inputs first."""
        return self._kept[number] or self._forward(self._chunks[number])[0]

    def vjp(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """J' u summed over the batch: u (B, D) -> (P,), written into `out` when given."""
        network, parts = self._network, u.split(self._network.chunk)
        if out is None:
            out = torch.empty(network.num_parameters, device=u.device)
        out.zero_()
        total = network.views(out)

        def pull(number: int) -> Layers:
            return network.backward(self._weights, self._hidden(number), parts[number])

        for gradients in network.each(pull, range(len(self._chunks))):
            for (weight, bias), (d_weight, d_bias) in zip(total, gradients, strict=True):
                weight.add_(d_weight)
                bias.add_(d_bias)
        return out

    def jvp(self, v: Tensor) -> Tensor:
        """J v: v (P,) -> (B, D)."""
        network = self._network
        tangents = network.convert(network.views(v))

        def push(number: int) -> Tensor:
            return network.tangent(self._weights, tangents, self._hidden(number))

        return torch.cat(list(network.each(push, range(len(self._chunks)))))


class ConvNet:
    """The shape of a network: convolutions without padding, one hidden layer, linear outputs.

    It holds no parameters: they are a flat vector (P,) float32 elsewhere, layer by layer as weight
    (outputs, inputs, k, k) or (outputs, inputs), then bias. Pixels of 0 to 255 count as 0 to 1.

    precision: what all layers but the last compute in; parameters and gradients stay float32.
    """

    shares_out = True
    """It shares a batch out between threads itself, by `models.parts`."""
    capturable = True
    """On a GPU its arithmetic is nothing but kernels: see `models.device_steps`."""

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
        self._activate, self._pull = ACTIVATE[activation], PULL[activation]
        self.dtype = getattr(torch, precision)
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
        """x, an array or tensor, on this network's device; `FrameStacks` as `Pixels`, if they fit
        into KEEP_BYTES."""
        if isinstance(x, Pixels):
            return x
        if not isinstance(x, FrameStacks):
            tensor = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
            return tensor.to(self.device, non_blocking=True)
        stacks = FrameStacks(self.to_device(x.planes), self.to_device(x.index))
        return interleaved(stacks) if self.keeps(math.prod(x.shape)) else stacks

    def linearize(self, layers: Layers, inputs: Any) -> ConvLinearization:
        """Outputs at images (B, S, H, W) and products with the Jacobian; `layers` by `views`."""
        return ConvLinearization(self, layers, inputs)

    def outputs(self, layers: Layers, inputs: Any) -> Tensor:
        """Outputs (B, D) alone."""
        weights = self.prepare(layers)
        parts = self.each(lambda chunk: self.forward(weights, chunk)[1], self.chunks(inputs))
        return torch.cat(list(parts))

    def predict(self, layers: Layers, inputs: Any) -> np.ndarray:
        """Outputs (B, D) alone, as numpy: what acting costs."""
        return self.outputs(layers, self.to_device(inputs)).cpu().numpy()

    def features(self, layers: Layers, inputs: Any) -> np.ndarray:
        """The last hidden layer (B, hidden), as numpy."""
        weights, chunks = self.prepare(layers), self.chunks(self.to_device(inputs))
        parts = self.each(lambda chunk: self.forward(weights, chunk)[0][-1], chunks)
        return torch.cat(list(parts)).float().cpu().numpy()

    def keeps(self, size: int) -> bool:
        """Whether so many bytes are kept rather than made again."""
        return size <= KEEP_BYTES.get(self.device.type, KEEP_BYTES["cpu"])

    @property
    def chunk(self) -> int:
        """How many rows go through the network together."""
        return CHUNK.get(self.device.type, 4096)

    def chunks(self, inputs: Any) -> list[Any]:
        """The images in parts that go through the network together."""
        # No images, which a process may have of a minibatch, are one empty part.
        parts = range(0, max(len(inputs), 1), self.chunk)
        return [inputs[start : start + self.chunk] for start in parts]

    def each(self, function: Callable[[Any], T], parts: Sequence[Any]) -> Iterator[T]:
        """function(part) in order, on several threads of a CPU."""
        return each(function, parts) if self.device.type == "cpu" else map(function, parts)

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
                w = w.contiguous(memory_format=torch.channels_last)
            converted.append((w, bias.to(dtype)))
        return converted

    def forward(self, weights: Layers, chunk: Any) -> tuple[list[Tensor], Tensor]:
        """Activations, inputs first, and outputs (b, D) float32. chunk: `Pixels`, or what
        `interleaved` makes them of."""
        pixels = chunk if isinstance(chunk, Pixels) else interleaved(chunk)
        hidden = [pixels.read(self.dtype)]
        for (weight, bias), stride in zip(weights, self.strides, strict=False):
            hidden.append(self._activate(functional.conv2d(hidden[-1], weight, bias, stride)))
        weight, bias = weights[-2]
        hidden.append(self._activate(functional.linear(hidden[-1].flatten(1), weight, bias)))
        return hidden, functional.linear(hidden[-1].float(), *weights[-1])

    def backward(self, weights: Layers, hidden: list[Tensor], u: Tensor) -> Layers:
        """J' u of one chunk, by layers."""
        gradients = [(u.T @ hidden[-1].float(), u.sum(0))]
        g = self._pull((u @ weights[-1][0]).to(self.dtype), hidden[-1])
        gradients.append((g.T @ hidden[-2].flatten(1), g.sum(0)))
        g = (g @ weights[-2][0]).view(hidden[-2].shape)
        for number in range(len(self.strides) - 1, -1, -1):
            g = self._pull(g.contiguous(memory_format=torch.channels_last), hidden[number + 1])
            stride = [self.strides[number]] * 2
            weight = weights[number][0]
            g, d_weight, d_bias = torch.ops.aten.convolution_backward(
                g, hidden[number], weight, [len(weight)], stride, [0, 0], [1, 1], False, [0, 0], 1,
                [number > 0, True, True],
            )  # fmt: skip
            if number == 0:
                d_weight = d_weight.float() * (1.0 / 255.0)
            gradients.append((d_weight, d_bias))
        return gradients[::-1]

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
