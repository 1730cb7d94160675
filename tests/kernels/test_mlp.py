"""Compiled perceptrons: the numpy form in float64 is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trpo_cli.kernels.gradients import backward, make_room
from trpo_cli.kernels.mlp import (
    TANH,
    activate,
    forward,
    pack,
    packed_size,
    unpack,
    work_size,
)
from trpo_cli.kernels.vector import LANES, aligned, padded
from trpo_cli.models.mlp import ACTIVATIONS, MLP
from trpo_cli.models.packed import net_of

SHAPES = [(3, 2), (5, 7, 2), (4, 20, 3, 1), (6, 64, 64, 17), (2, 40, 33), (3, 37, 50, 2)]
every_norm = pytest.mark.parametrize("layer_norm", [False, True])
every_shape = pytest.mark.parametrize("sizes", SHAPES, ids=str)


class Network:
    """Random parameters, flat and packed."""

    def __init__(self, sizes, activation="tanh", bias=True, layer_norm=False, seed=0):
        self.mlp, self.sizes = MLP(sizes, activation, bias, layer_norm), np.array(sizes)
        self.net, self.bias = net_of(self.mlp), bias
        generator = np.random.default_rng(seed)
        self.flat = generator.normal(size=self.mlp.num_parameters).astype(np.float32)
        self.flat /= np.float32(max(sizes)) ** 0.5
        self.packed = aligned(packed_size(sizes))
        pack(self.flat, self.sizes, bias, self.packed)

    def outputs(self, inputs):
        """By the kernel."""
        n, last = len(inputs), self.mlp.sizes[-1]
        work = aligned(work_size(self.net, n))
        at = forward(self.packed, self.net, inputs.reshape(-1), n, work)
        return work[at : at + n * padded(last)].reshape(n, -1)[:, :last].copy()

    def gradient(self, inputs, u):
        """J' u, flat, by the kernel."""
        n, last = len(inputs), self.mlp.sizes[-1]
        room = make_room(self.net, n + 3)  # as much as an earlier, larger minibatch needed
        room.inputs[: inputs.size] = inputs.reshape(-1)
        at = forward(self.packed, self.net, room.inputs, n, room.work)
        room.slopes[at : at + n * padded(last)].reshape(n, -1)[:, :last] = u
        packed = np.full_like(self.packed, np.nan)
        backward(self.net, self.packed, room, n, packed)
        self.last_gradient = packed
        return self.unpacked(packed)

    def unpacked(self, packed):
        flat = np.full_like(self.flat, np.nan)
        unpack(packed, self.sizes, self.bias, flat)
        return flat


def draw(sizes, rows, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, sizes[0])).astype(np.float32)


@every_shape
@pytest.mark.parametrize("bias", [True, False])
def test_packing_there_and_back(sizes, bias):
    network = Network(sizes, bias=bias)
    back = np.full_like(network.flat, np.nan)
    unpack(network.packed, network.sizes, bias, back)
    assert back.tobytes() == network.flat.tobytes()
    assert np.count_nonzero(network.packed) == np.count_nonzero(network.flat)


class TestForward:
    @every_shape
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("bias", [True, False])
    @every_norm
    def test_the_closed_form_agrees(self, sizes, activation, bias, layer_norm):
        network, inputs = Network(sizes, activation, bias, layer_norm), draw(sizes, 11)
        layers = network.mlp.views(network.flat.astype(np.float64))
        expected = network.mlp.predict(layers, inputs.astype(np.float64))
        # Sums of at most 64 float32 products of order one, layer after layer.
        np.testing.assert_allclose(network.outputs(inputs), expected, atol=1e-5)

    @every_shape
    @every_norm
    def test_a_row_does_not_depend_on_its_neighbours(self, sizes, layer_norm):
        network, inputs = Network(sizes, layer_norm=layer_norm), draw(sizes, 11)
        together = network.outputs(inputs)
        for start, end in ((0, 1), (1, 4), (2, 8), (3, 11)):
            alone = network.outputs(inputs[start:end])
            assert alone.tobytes() == together[start:end].tobytes()

    def test_what_is_no_number_stays_so(self):
        network, inputs = Network((5, 7, 2)), draw((5,), 6)
        inputs[2, 1] = np.nan
        np.testing.assert_array_equal(
            np.isnan(network.outputs(inputs)).any(axis=1), np.arange(6) == 2
        )


class TestBackward:
    @every_shape
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("bias", [True, False])
    @every_norm
    def test_the_closed_form_agrees(self, sizes, activation, bias, layer_norm):
        network, inputs = Network(sizes, activation, bias, layer_norm), draw(sizes, 11)
        layers = network.mlp.views(network.flat.astype(np.float64))
        u = np.random.default_rng(2).normal(size=(11, sizes[-1])).astype(np.float32)
        here = network.mlp.linearize(layers, inputs.astype(np.float64))
        expected = here.vjp(u.astype(np.float64))
        # Sums of 11 terms, each a sum of at most 64 float32 products of order one.
        np.testing.assert_allclose(network.gradient(inputs, u), expected, atol=1e-4)

    @every_shape
    @pytest.mark.parametrize("bias", [True, False])
    @every_norm
    def test_what_is_no_parameter_has_none(self, sizes, bias, layer_norm):
        """An optimiser that works on packed vectors leaves the padding zero."""
        network, inputs = Network(sizes, bias=bias, layer_norm=layer_norm), draw(sizes, 11)
        flat = network.gradient(inputs, np.ones((11, sizes[-1])))
        again = np.zeros_like(network.packed)
        pack(flat, network.sizes, bias, again)
        assert again.tobytes() == network.last_gradient.tobytes()


class TestTanh:
    def test_a_few_units_in_the_last_place(self):
        """Single precision has 2^-24 of relative rounding; 5 units are 6e-7."""
        x = np.concatenate([np.linspace(-12.0, 12.0, 4096), np.geomspace(1e-30, 1.0, 4096)])
        x = x.astype(np.float32)
        found = x.copy()
        activate(TANH, found, 0, len(x), 0)
        exact = np.tanh(x.astype(np.float64))
        units = abs(found - exact) / np.spacing(abs(exact).astype(np.float32))
        assert units.max() < 5.0
        assert abs(found).max() < 1.0

    def test_beyond_numbers(self):
        x = np.zeros(LANES, dtype=np.float32)
        x[:4] = [np.nan, np.inf, -np.inf, -0.0]
        activate(TANH, x, 0, LANES, 0)
        assert np.isnan(x[0])
        np.testing.assert_allclose(x[1:4], [1.0, -1.0, 0.0], rtol=1e-6)


class TestOtherActivations:
    """Torch in double precision is the oracle. The sigmoid has an absolute error of some roundings
    of 1, 1.2e-7, which silu multiplies by up to 12."""

    @pytest.mark.parametrize("name", ["leaky_relu", "elu", "silu"])
    def test_values(self, name):
        x = np.concatenate([np.linspace(-12.0, 12.0, 4096), np.linspace(-1e-3, 1e-3, 64)])
        x = x.astype(np.float32)
        found = np.concatenate([x, np.zeros_like(x)])
        activate(ACTIVATIONS.index(name), found, 0, len(x), len(x))
        exact = getattr(torch.nn.functional, name)(torch.tensor(x, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(found[: len(x)], exact, rtol=1e-6, atol=2e-6)
