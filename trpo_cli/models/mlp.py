"""Multi-layer perceptron on one flat parameter vector, with its Jacobian in closed form.

For layers z_l = h_{l-1} W_l + b_l, h_l = f(z_l), h_0 = x, outputs z_L:

    J v    forward:   dz_l = dh_{l-1} W_l + h_{l-1} dW_l + db_l,   dh_l = f'(z_l) dz_l
    J' u   backward:  dW_l = h_{l-1}' g_l,  db_l = sum g_l,        g_{l-1} = f'(z_{l-1}) (g_l W_l')

with g_L = u. The hidden activations h_l are all that has to be kept: f' is a function of them.
These two products serve the policy gradient, the Fisher product, PPO's minibatches and the value
fit alike. The arithmetic is numpy's (see `maths.arrays` for why).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weight (inputs, outputs) and bias (outputs,) of each layer, views of one flat vector."""


class Linearization:
    """The network at one batch of inputs (B, n): outputs (B, D), and products with the Jacobian.

    It reads the parameters when it is made and when a product is asked for: use it before they
    move.
    """

    def __init__(self, network: MLP, layers: Layers, inputs: np.ndarray) -> None:
        self._network, self._layers = network, layers
        self._hidden = [inputs]
        self._slopes: list[np.ndarray] = []
        for weight, bias in layers[:-1]:
            h = self._hidden[-1] @ weight
            h += bias
            self._hidden.append(network.activate(h))
        weight, bias = layers[-1]
        self.outputs = self._hidden[-1] @ weight
        self.outputs += bias

    def _slope(self, index: int) -> np.ndarray:
        """f'(z_l) of hidden layer `index`; kept, as a solver asks many times."""
        if not self._slopes:
            self._slopes = [self._network.slope(h) for h in self._hidden[1:]]
        return self._slopes[index]

    def vjp(self, u: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """J' u summed over the batch: u (B, D) -> (P,), written into `out` when given."""
        flat = out if out is not None else np.empty(self._network.num_parameters, u.dtype)
        gradients = self._network.views(flat)
        # A product with ones: cheaper than a sum over the long axis.
        ones, g = np.ones(len(u), u.dtype), u
        for index in range(len(self._layers) - 1, -1, -1):
            weight, bias = gradients[index]
            np.matmul(self._hidden[index].T, g, out=weight)
            np.matmul(ones, g, out=bias)
            if index:
                g = g @ self._layers[index][0].T
                g *= self._slope(index - 1)
        return flat

    def jvp(self, v: np.ndarray) -> np.ndarray:
        """J v: v (P,) -> (B, D)."""
        tangents = self._network.views(v)
        d_weight, d_bias = tangents[0]
        dz = self._hidden[0] @ d_weight
        dz += d_bias
        for index in range(1, len(self._layers)):
            dz *= self._slope(index - 1)
            d_weight, d_bias = tangents[index]
            dz = dz @ self._layers[index][0]
            dz += self._hidden[index] @ d_weight
            dz += d_bias
        return dz


class MLP:
    """The shape of an MLP. It holds no parameters: they are a flat vector (P,) elsewhere,
    layer by layer as weight (inputs, outputs) row-major, then bias (outputs,)."""

    def __init__(self, sizes: Sequence[int], activation: str = "tanh", bias: bool = True) -> None:
        self.sizes, self.activation, self.bias = tuple(sizes), activation, bias
        self._parts: list[tuple[slice, slice, tuple[int, int]]] = []
        end = 0
        for n, m in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            start, middle = end, end + n * m
            end = middle + m if bias else middle
            self._parts.append((slice(start, middle), slice(middle, end), (n, m)))
        self.num_parameters = end

    def views(self, flat: np.ndarray) -> Layers:
        """Weight and bias of each layer; writing to them writes to `flat`. Without biases the
        second is a fresh zero vector, so that every product keeps its form."""
        if not self.bias:
            return [(flat[w].reshape(s), np.zeros(s[1], flat.dtype)) for w, _, s in self._parts]
        return [(flat[w].reshape(s), flat[b]) for w, b, s in self._parts]

    def views_each(self, flats: np.ndarray) -> Layers:
        """The same of K parameter vectors (K, P): weights (K, inputs, outputs), biases
        (K, 1, outputs). `predict` then takes inputs (K, n, features), n of each network."""
        count = len(flats)
        layers = []
        for w, b, shape in self._parts:
            bias = flats[:, b] if self.bias else np.zeros((count, shape[1]), flats.dtype)
            layers.append((flats[:, w].reshape(count, *shape), bias[:, None, :]))
        return layers

    def initialize(
        self, flat: np.ndarray, generator: np.random.Generator, output_gain: float
    ) -> None:
        """Orthogonal weights (Saxe et al. 2014), gain sqrt(2) inside, `output_gain` at the end;
        zero biases."""
        layers = self.views(flat)
        for index, (weight, bias) in enumerate(layers):
            gain = output_gain if index == len(layers) - 1 else math.sqrt(2.0)
            weight[:] = gain * orthogonal(generator, *weight.shape)
            bias[:] = 0.0

    def to_device(self, x: Any) -> np.ndarray:
        """x as this network's kind of array; a tensor comes from a module for V."""
        return np.asarray(x)

    def linearize(self, layers: Layers, inputs: np.ndarray) -> Linearization:
        """Outputs at inputs (B, n), and products with the Jacobian there; `layers` by `views`."""
        return Linearization(self, layers, inputs)

    def outputs(self, layers: Layers, inputs: np.ndarray) -> np.ndarray:
        """Outputs (B, D) alone."""
        return self.predict(layers, inputs)

    def predict(self, layers: Layers, inputs: np.ndarray) -> np.ndarray:
        """The same as numpy, as they are: what acting costs."""
        h = inputs
        for weight, bias in layers[:-1]:
            h = h @ weight
            h += bias
            self.activate(h)
        weight, bias = layers[-1]
        h = h @ weight
        h += bias
        return h

    def activate(self, z: np.ndarray) -> np.ndarray:
        """f(z) in place."""
        if self.activation == "relu":
            return np.maximum(z, 0.0, out=z)
        return np.tanh(z, out=z)

    def slope(self, h: np.ndarray) -> np.ndarray:
        """f'(z) from h = f(z)."""
        if self.activation == "relu":
            return (h > 0.0).astype(h.dtype)
        squares = h * h
        return np.subtract(1.0, squares, out=squares)


def orthogonal(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix (rows, columns) with orthonormal rows or columns, uniform over all such."""
    normal = generator.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T
