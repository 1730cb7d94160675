"""Multi-layer perceptron on one flat parameter vector, with its Jacobian in closed form.

For layers z_l = h_{l-1} W_l + b_l, h_l = f(z_l), h_0 = x, outputs z_L:

    J v    forward:   dz_l = dh_{l-1} W_l + h_{l-1} dW_l + db_l,   dh_l = f'(z_l) dz_l
    J' u   backward:  dW_l = h_{l-1}' g_l,  db_l = sum g_l,        g_{l-1} = f'(z_{l-1}) (g_l W_l')

with g_L = u. The hidden activations h_l are all that has to be kept: f' is a function of them, but
for silu, whose f' is computed on the way.

With layer normalisation (Ba et al. 2016, 1607.06450) h_l = f(n_l), of m units

    n = (z - mean(z)) / s,   s^2 = mean((z - mean(z))^2) + 1e-5
    dn = P dz,               P t = (t - mean(t) - n mean(n t)) / s

and P, which is symmetric, stands behind dz_l and before g_(l-1) alike. It has no gain and no offset
of its own, which change little (Xu et al. 2019, 1911.07013): parameters lie as without it.
These two products serve the policy gradient, the Fisher product, PPO's minibatches and the value
fit alike. The arithmetic is numpy's (see `maths.arrays` for why).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trpo_cli.maths.arrays import Array, namespace

ACTIVATIONS = ("tanh", "relu", "leaky_relu", "elu", "silu")
"""In the order of their numbers in `kernels.mlp`. relu: max(z, 0); leaky_relu: max(z, 0.01 z);
elu: z or, below 0, e^z - 1 (Clevert et al. 2016, 1511.07289); silu: z / (1 + e^-z), also called
swish (Elfwing et al. 2018, 1702.03118; Ramachandran et al. 2017, 1710.05941)."""
NORM_EPS = 1e-5
"""What is added to the variance in layer normalisation."""
LEAK = 0.01
"""The slope of leaky_relu below 0."""

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
        self._norms: list[tuple[np.ndarray, np.ndarray]] = []
        for weight, bias in layers[:-1]:
            h = self._hidden[-1] @ weight
            h += bias
            if network.layer_norm:
                inverse = normalize(h)
                self._norms.append((h.copy(), inverse))
            if network.activation == "silu":
                self._slopes.append(silu_slope(h))
            self._hidden.append(network.activate(h))
        weight, bias = layers[-1]
        self.outputs = self._hidden[-1] @ weight
        self.outputs += bias

    def _slope(self, index: int) -> np.ndarray:
        """f'(z_l) of hidden layer `index`; kept, as a solver asks many times."""
        if not self._slopes:
            self._slopes = [self._network.slope(h) for h in self._hidden[1:]]
        return self._slopes[index]

    def _through(self, t: np.ndarray, index: int) -> np.ndarray:
        """P t of hidden layer `index`; t itself without layer normalisation."""
        if not self._norms:
            return t
        n, inverse = self._norms[index]
        t = t - t.mean(axis=1, keepdims=True)
        t -= n * (n * t).mean(axis=1, keepdims=True)
        t *= inverse
        return t

    def vjp(
        self, u: np.ndarray, out: np.ndarray | None = None, of_inputs: np.ndarray | None = None
    ) -> np.ndarray:
        """J' u summed over the batch: u (B, D) -> (P,), written into `out` when given.

        of_inputs: (B, n), where u times the outputs' Jacobian in the inputs is written; None:
        nowhere.
        """
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
                g = self._through(g, index - 1)
        if of_inputs is not None:
            np.matmul(g, self._layers[0][0].T, out=of_inputs)
        return flat

    def jvp(self, v: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
        """J v: v (P,) -> (B, D). inputs: (B, n), a tangent of the inputs as well; None is zero."""
        tangents = self._network.views(v)
        d_weight, d_bias = tangents[0]
        dz = self._hidden[0] @ d_weight
        dz += d_bias
        if inputs is not None:
            dz += inputs @ self._layers[0][0]
        for index in range(1, len(self._layers)):
            dz = self._through(dz, index - 1)
            dz *= self._slope(index - 1)
            d_weight, d_bias = tangents[index]
            dz = dz @ self._layers[index][0]
            dz += self._hidden[index] @ d_weight
            dz += d_bias
        return dz


class MLP:
    """The shape of an MLP. It holds no parameters: they are a flat vector (P,) elsewhere,
    layer by layer as weight (inputs, outputs) row-major, then bias (outputs,)."""

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "tanh",
        bias: bool = True,
        layer_norm: bool = False,
    ) -> None:
        self.sizes, self.activation, self.bias = tuple(sizes), activation, bias
        self.layer_norm = layer_norm
        self._parts: list[tuple[slice, slice, tuple[int, int]]] = []
        end = 0
        for n, m in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            start, middle = end, end + n * m
            end = middle + m if bias else middle
            self._parts.append((slice(start, middle), slice(middle, end), (n, m)))
        self.num_parameters = end

    def views(self, flat: Array) -> Layers:
        """Weight and bias of each layer; writing to them writes to `flat`, which may be a tensor
        as well. Without biases the second is a fresh zero vector, so that every product keeps its
        form."""
        if not self.bias:
            zeros = namespace(flat).zeros_like
            weights = [flat[w].reshape(s) for w, _, s in self._parts]
            return [(weight, zeros(weight[0])) for weight in weights]
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
            if self.layer_norm:
                normalize(h)
            self.activate(h)
        weight, bias = layers[-1]
        h = h @ weight
        h += bias
        return h

    def activate(self, z: np.ndarray) -> np.ndarray:
        """f(z) in place."""
        if self.activation == "relu":
            return np.maximum(z, 0.0, out=z)
        if self.activation == "leaky_relu":
            return np.maximum(z, LEAK * z, out=z)
        if self.activation == "elu":
            low = np.expm1(np.minimum(z, 0.0))
            return np.add(np.maximum(z, 0.0, out=z), low, out=z)
        if self.activation == "silu":
            z *= sigmoid(z)
            return z
        return np.tanh(z, out=z)

    def slope(self, h: np.ndarray) -> np.ndarray:
        """f'(z) from h = f(z), where it is a function of h."""
        if self.activation == "relu":
            return (h > 0.0).astype(h.dtype)
        if self.activation == "leaky_relu":
            return np.where(h > 0.0, h.dtype.type(1.0), h.dtype.type(LEAK))
        if self.activation == "elu":
            return np.minimum(h, 0.0) + h.dtype.type(1.0)
        squares = h * h
        return np.subtract(1.0, squares, out=squares)


def normalize(z: np.ndarray) -> np.ndarray:
    """Rows (..., m) to mean 0 and variance 1 in place; returns 1 / s, (..., 1)."""
    z -= z.mean(axis=-1, keepdims=True)
    inverse: np.ndarray = 1.0 / np.sqrt((z * z).mean(axis=-1, keepdims=True) + NORM_EPS)
    z *= inverse
    return inverse


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-z), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def silu_slope(z: np.ndarray) -> np.ndarray:
    """d (z s(z)) / dz = s + z s (1 - s), s the sigmoid."""
    s = sigmoid(z)
    return s + z * s * (1.0 - s)


def orthogonal(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix (rows, columns) with orthonormal rows or columns, uniform over all such."""
    normal = generator.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T
