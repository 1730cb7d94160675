"""Networks that remember: outputs against torch's layers, products with J against differences."""

import numpy as np
import pytest
import torch

from trpo_cli.data.sequences import Sequences
from trpo_cli.models.mlp import MLP
from trpo_cli.models.recurrent import RecurrentNetwork

FEATURES, UNITS, OUTPUTS = 3, 4, 2
STEPS, ENVS = 6, 3
LAYERS = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
every_cell = pytest.mark.parametrize("cell", LAYERS)


def network_of(cell):
    return RecurrentNetwork(FEATURES, cell, UNITS, MLP([FEATURES + UNITS, 5, OUTPUTS]))


def parameters_of(network):
    return 0.7 * np.random.default_rng(1).normal(size=network.num_parameters)


def sequences_of(network, begins=None):
    """All samples of a rollout in float64; without episode starts unless told."""
    rng = np.random.default_rng(2)
    begins = np.zeros((STEPS, ENVS), dtype=bool) if begins is None else begins
    states = rng.normal(size=(ENVS, network.state_size))
    inputs = rng.normal(size=(STEPS, ENVS, FEATURES))
    return Sequences(inputs, states, begins, np.arange(STEPS * ENVS))


def starts(*places):
    begins = np.zeros((STEPS, ENVS), dtype=bool)
    for place in places:
        begins[place] = True
    return begins


@every_cell
class TestOutputs:
    def test_the_cell_is_torchs(self, cell):
        """`torch.nn.GRU` and `LSTM` with these weights, without their second bias."""
        network = network_of(cell)
        flat, inputs = parameters_of(network), sequences_of(network)
        weight, bias, recurrent, layers = network.views(flat)
        oracle = LAYERS[cell](FEATURES, UNITS).double()
        with torch.no_grad():
            oracle.weight_ih_l0.copy_(torch.tensor(weight.T))
            oracle.weight_hh_l0.copy_(torch.tensor(recurrent.T))
            oracle.bias_ih_l0.copy_(torch.tensor(bias))
            oracle.bias_hh_l0.zero_()
            parts = [
                part.contiguous() for part in torch.tensor(inputs.states)[None].split(UNITS, 2)
            ]
            h, _ = oracle(torch.tensor(inputs.inputs), parts[0] if cell == "gru" else tuple(parts))
        seen = np.concatenate([inputs.inputs, h.numpy()], axis=2).reshape(STEPS * ENVS, -1)
        expected = network.head.predict(layers, seen)
        np.testing.assert_allclose(
            network.outputs(network.views(flat), inputs), expected, rtol=1e-12
        )

    def test_steps_one_by_one_are_the_sequence(self, cell):
        network = network_of(cell)
        parts, inputs = network.views(parameters_of(network)), sequences_of(network, starts((3, 1)))
        states, found = inputs.states.copy(), []
        for t in range(STEPS):
            states[inputs.begins[t]] = 0.0
            outputs, states = network.step(parts, inputs.inputs[t], states)
            found.append(outputs)
        np.testing.assert_allclose(
            network.outputs(parts, inputs), np.concatenate(found), rtol=1e-12
        )

    def test_some_samples_are_those_of_all(self, cell):
        """Also of a selection of a selection, and of none."""
        network = network_of(cell)
        parts, inputs = network.views(parameters_of(network)), sequences_of(network, starts((2, 0)))
        everything = network.outputs(parts, inputs)
        rows = np.array([7, 1, 4])  # environment 1 alone, to step 2
        part = inputs[rows]
        assert part.inputs.shape == (3, 1, FEATURES)
        for found, expected in (
            (network.outputs(parts, part), everything[rows]),
            (network.outputs(parts, part[1:]), everything[rows[1:]]),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        nothing = network.linearize(parts, inputs[:0])
        assert nothing.outputs.shape == (0, OUTPUTS)
        assert not nothing.vjp(np.zeros((0, OUTPUTS))).any()


def test_a_single_observation_is_not_enough():
    network = network_of("gru")
    with pytest.raises(TypeError, match="Acting"):
        network.predict(network.views(parameters_of(network)), np.zeros((1, FEATURES)))


@every_cell
class TestProducts:
    @pytest.mark.parametrize("begins", [starts(), starts((0, 2), (3, 1), (5, 0))])
    def test_jvp_is_the_derivative_along_a_direction(self, cell, begins):
        network = network_of(cell)
        flat, inputs = parameters_of(network), sequences_of(network, begins)[[3, 17, 4, 8, 12]]
        v, step = np.random.default_rng(3).normal(size=flat.shape), 1e-6

        def at(theta):
            return network.outputs(network.views(theta), inputs)

        central = (at(flat + step * v) - at(flat - step * v)) / (2.0 * step)
        found = network.linearize(network.views(flat), inputs).jvp(v)
        # A central difference is wrong by step^2 and by rounding of 1e-16 / step.
        np.testing.assert_allclose(found, central, atol=1e-8)

    @pytest.mark.parametrize("begins", [starts(), starts((0, 2), (3, 1), (5, 0))])
    def test_vjp_is_the_adjoint_of_jvp(self, cell, begins):
        network = network_of(cell)
        flat, inputs = parameters_of(network), sequences_of(network, begins)[[3, 17, 4, 8, 12]]
        here = network.linearize(network.views(flat), inputs)
        rng = np.random.default_rng(4)
        for _ in range(5):
            u, v = rng.normal(size=here.outputs.shape), rng.normal(size=flat.shape)
            out = np.full_like(flat, np.nan)
            assert here.vjp(u, out=out) is out
            assert np.vdot(u, here.jvp(v)) == pytest.approx(out @ v, rel=1e-10)

    def test_no_gradient_crosses_the_start_of_an_episode(self, cell):
        """The last step's gradient is that of its episode alone, begun afresh."""
        network = network_of(cell)
        parts = network.views(parameters_of(network))
        whole = sequences_of(network, starts((4, 0), (4, 1), (4, 2)))
        alone = Sequences(
            whole.inputs[4:],
            np.zeros_like(whole.states),
            np.zeros((2, ENVS), dtype=bool),
            np.arange(2 * ENVS)[-ENVS:],
        )
        u = np.random.default_rng(5).normal(size=(ENVS, OUTPUTS))
        np.testing.assert_allclose(
            network.linearize(parts, whole[-ENVS:]).vjp(u),
            network.linearize(parts, alone).vjp(u),
            atol=1e-13,
        )

    def test_gradients_go_back_to_the_first_step(self, cell):
        """What the cue of step 0 does to the last output is learned from."""
        network = network_of(cell)
        parts, inputs = network.views(parameters_of(network)), sequences_of(network)
        u = np.ones((1, OUTPUTS))
        gradients = []
        for cue in (0.0, 1.0):
            inputs.inputs[0, 0] = cue
            gradients.append(network.linearize(parts, inputs[[(STEPS - 1) * ENVS]]).vjp(u))
        assert np.abs(gradients[1] - gradients[0]).max() > 1e-3


@every_cell
def test_a_fresh_cell_keeps(cell):
    """Biases are zero but those of the update gate or the forget gate, which are one."""
    network = network_of(cell)
    flat = np.full(network.num_parameters, np.nan, dtype=np.float32)
    network.initialize(flat, np.random.default_rng(0), 0.01)
    assert np.isfinite(flat).all()
    _, bias, recurrent, _ = network.views(flat)
    expected = np.zeros((network.cell.gates, UNITS))
    expected[1] = 1.0
    np.testing.assert_array_equal(bias.reshape(-1, UNITS), expected)
    first = recurrent[:, :UNITS]
    np.testing.assert_allclose(first @ first.T, np.eye(UNITS), atol=1e-6)
