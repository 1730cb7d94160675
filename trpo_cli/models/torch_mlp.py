"""`models.mlp` on torch tensors, for devices other than the CPU.

The network, its flat vector and its products with the Jacobian are those of that module; each f',
and the P of layer normalisation, is one of torch's fused kernels, which would otherwise be several
launches each. Nothing here waits for the device, and no shape depends on a number that lies there:
the whole can be captured in a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trpo_cli.models.mlp import LEAK, MLP, NORM_EPS

Layers = list[tuple[Tensor, Tensor]]
"""Weight (inputs, outputs) and bias (outputs,) of each layer, views of one flat vector."""
Pull = Callable[[Tensor, Tensor], Tensor]
aten = torch.ops.aten

ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "leaky_relu": lambda z: functional.leaky_relu_(z, LEAK),
    "elu": functional.elu_,
    "silu": functional.silu,
}
"""h = f(z); in place, but for silu, whose f' is no function of h."""
PULL: dict[str, Pull] = {
    "tanh": aten.tanh_backward,
    "relu": lambda g, h: aten.threshold_backward(g, h, 0),
    "leaky_relu": lambda g, h: aten.leaky_relu_backward(g, h, LEAK, True),
    "elu": lambda g, h: aten.elu_backward(g, 1.0, 1.0, 1.0, True, h),
    "silu": aten.silu_backward,
}
"""f'(z) g from g and h = f(z); for silu from g and z."""


class TorchLinearization:
    """The network at one batch of inputs (B, n): outputs (B, D), and products with the Jacobian.

    It reads the parameters when it is made and when a product is asked for: use it before they
    move. It keeps two numbers of each hidden unit and sample at most.
    """

    def __init__(self, network: TorchMLP, layers: Layers, inputs: Tensor) -> None:
        self._network, self._layers = network, layers
        self._hidden = [inputs]
        self._norms: list[tuple[Tensor, Tensor, Tensor]] = []
        self._slopes: list[Tensor] = []  # what f' is made from
        for weight, bias in layers[:-1]:
            z = torch.addmm(bias, self._hidden[-1], weight)
            if network.shape.layer_norm:
                n, mean, inverse = normalize(z)
                self._norms.append((z, mean, inverse))
                z = n
            h = network.activate(z)
            self._slopes.append(z if network.shape.activation == "silu" else h)
            self._hidden.append(h)
        weight, bias = layers[-1]
        self.outputs = torch.addmm(bias, self._hidden[-1], weight)

    def _normalized(self, t: Tensor, index: int) -> Tensor:
        """P t of hidden layer `index`; t itself without layer normalisation."""
        if not self._norms:
            return t
        z, mean, inverse = self._norms[index]
        there = aten.native_layer_norm_backward(
            t, z, [z.shape[1]], mean, inverse, None, None, [True, False, False]
        )
        pulled: Tensor = there[0]
        return pulled

    def vjp(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """J' u summed over the batch: u (B, D) -> (P,), written into `out` when given."""
        flat = out if out is not None else u.new_empty(self._network.num_parameters)
        gradients, g = self._network.views(flat), u
        for index in range(len(self._layers) - 1, -1, -1):
            weight, bias = gradients[index]
            torch.mm(self._hidden[index].T, g, out=weight)
            torch.sum(g, 0, out=bias)
            if index:
                g = self._network.pull(g @ self._layers[index][0].T, self._slopes[index - 1])
                g = self._normalized(g, index - 1)
        return flat

    def jvp(self, v: Tensor) -> Tensor:
        """J v: v (P,) -> (B, D)."""
        tangents = self._network.views(v)
        d_weight, d_bias = tangents[0]
        dz = torch.addmm(d_bias, self._hidden[0], d_weight)
        for index in range(1, len(self._layers)):
            dh = self._network.pull(self._normalized(dz, index - 1), self._slopes[index - 1])
            d_weight, d_bias = tangents[index]
            dz = torch.addmm(d_bias, self._hidden[index], d_weight)
            dz.addmm_(dh, self._layers[index][0])
        return dz


class TorchMLP:
    """An MLP whose parameters, inputs and outputs are tensors on a device.

    shape: the same network in numpy. It says how parameters lie in the flat vector.
    """

    capturable = True
    """Its arithmetic is nothing but kernels: see `models.device_steps`."""

    def __init__(self, shape: MLP, device: str) -> None:
        self.shape, self.device = shape, torch.device(device)
        self.num_parameters = shape.num_parameters
        self.activate, self.pull = ACTIVATE[shape.activation], PULL[shape.activation]

    def to_device(self, x: Any) -> Tensor:
        """x as this network's kind of array; what lies there already is not copied."""
        return torch.as_tensor(x, device=self.device)

    def views(self, flat: Tensor) -> Layers:
        """Weight and bias of each layer; writing to them writes to `flat`."""
        layers: Any = self.shape.views(flat)
        return layers

    def linearize(self, layers: Layers, inputs: Tensor) -> TorchLinearization:
        """Outputs at inputs (B, n), and products with the Jacobian there; `layers` by `views`."""
        return TorchLinearization(self, layers, inputs)

    def outputs(self, layers: Layers, inputs: Tensor) -> Tensor:
        """Outputs (B, D) alone."""
        h = inputs
        for weight, bias in layers[:-1]:
            z = torch.addmm(bias, h, weight)
            h = self.activate(normalize(z)[0] if self.shape.layer_norm else z)
        weight, bias = layers[-1]
        return torch.addmm(bias, h, weight)

    def predict(self, layers: Layers, inputs: Any) -> np.ndarray:
        """The same as numpy, for inputs of either kind."""
        outputs: np.ndarray = self.outputs(layers, self.to_device(inputs)).cpu().numpy()
        return outputs


def normalize(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (B, m) with mean 0 and variance 1, their means, and 1 / s, (B, 1) each."""
    found: tuple[Tensor, Tensor, Tensor] = aten.native_layer_norm(
        z, [z.shape[1]], None, None, NORM_EPS
    )
    return found
