import itertools
import math

import numpy as np
import pytest
import torch

from tests.support.small import tensor
from trpo_cli.models.autograd import ModuleNetwork, torch_mlp
from trpo_cli.models.mlp import ACTIVATIONS, MLP, orthogonal
from trpo_cli.models.torch_mlp import TorchMLP

BATCH = 7
SHAPES = [
    *itertools.product([(3, 2), (3, 5, 2), (3, 5, 4, 1)], ACTIVATIONS, [True, False], [False]),
    *itertools.product([(3, 5, 4, 2)], ACTIVATIONS, [True, False], [True]),
]


def words(shape):
    sizes, activation, bias, layer_norm = shape
    return f"{sizes}-{activation}-{'bias' if bias else 'none'}-{'norm' if layer_norm else ''}"


@pytest.fixture(params=SHAPES, ids=words)
def case(request):
    """An MLP, a flat vector, inputs, and the same in torch."""
    mlp = MLP(*request.param)
    rng = np.random.default_rng(0)
    flat = rng.normal(size=mlp.num_parameters)
    return mlp, flat, rng.normal(size=(BATCH, 3)), ModuleNetwork(torch_mlp(mlp)), rng


def jacobian(network, flat, inputs):
    """(B, D, P) by autograd."""
    return torch.func.jacrev(network.forward)(tensor(flat), tensor(inputs)).numpy()


class TestLinearize:
    def test_outputs_are_those_of_the_torch_module(self, case):
        mlp, flat, inputs, module, _ = case
        outputs = mlp.linearize(mlp.views(flat), inputs).outputs
        expected = module.forward(tensor(flat), tensor(inputs)).numpy()
        np.testing.assert_allclose(outputs, expected, rtol=1e-12)


class TestVjp:
    def test_explicit_jacobian_agrees(self, case):
        mlp, flat, inputs, module, rng = case
        here = mlp.linearize(mlp.views(flat), inputs)
        u = rng.normal(size=here.outputs.shape)
        expected = np.einsum("bdp,bd->p", jacobian(module, flat, inputs), u)
        np.testing.assert_allclose(here.vjp(u.copy()), expected, atol=1e-12)

    def test_writes_into_out_and_leaves_u_alone(self, case):
        mlp, flat, inputs, _, rng = case
        here = mlp.linearize(mlp.views(flat), inputs)
        u = rng.normal(size=here.outputs.shape)
        before, out = u.copy(), np.full_like(flat, np.nan)
        assert here.vjp(u, out=out) is out
        np.testing.assert_array_equal(out, here.vjp(u))
        np.testing.assert_array_equal(u, before)


class TestJvp:
    def test_explicit_jacobian_agrees(self, case):
        mlp, flat, inputs, module, rng = case
        v = rng.normal(size=flat.shape)
        expected = jacobian(module, flat, inputs) @ v
        np.testing.assert_allclose(
            mlp.linearize(mlp.views(flat), inputs).jvp(v), expected, atol=1e-12
        )

    def test_is_the_adjoint_of_vjp(self, case):
        mlp, flat, inputs, _, rng = case
        here = mlp.linearize(mlp.views(flat), inputs)
        u, v = rng.normal(size=here.outputs.shape), rng.normal(size=flat.shape)
        assert np.vdot(u, here.jvp(v)) == pytest.approx(here.vjp(u) @ v, rel=1e-10)


class TestPredict:
    def test_is_the_forward_pass_of_linearize(self, case):
        mlp, flat, inputs, _, _ = case
        layers = mlp.views(flat)
        before = inputs.copy()
        outputs = mlp.linearize(layers, inputs).outputs.copy()
        np.testing.assert_array_equal(mlp.predict(layers, inputs), outputs)
        np.testing.assert_array_equal(inputs, before)

    def test_a_result_outlives_the_next_call(self, case):
        """Two groups of environments and an evaluation share one network."""
        mlp, flat, inputs, _, _ = case
        layers = mlp.views(flat)
        first = mlp.predict(layers, inputs)
        kept = first.copy()
        mlp.predict(layers, -inputs)
        np.testing.assert_array_equal(first, kept)


class TestViews:
    def test_are_views_in_the_documented_order(self):
        mlp = MLP([2, 3, 1])
        flat = np.arange(float(mlp.num_parameters))
        (w1, b1), (w2, b2) = mlp.views(flat)
        np.testing.assert_array_equal(w1, [[0, 1, 2], [3, 4, 5]])
        np.testing.assert_array_equal(b1, [6, 7, 8])
        np.testing.assert_array_equal(w2, [[9], [10], [11]])
        np.testing.assert_array_equal(b2, [12])
        w1[0, 0], b2[0] = -1.0, -2.0
        assert (flat[0], flat[12]) == (-1.0, -2.0)

    def test_without_bias_weights_are_all(self):
        mlp = MLP([2, 3, 1], bias=False)
        assert mlp.num_parameters == 2 * 3 + 3 * 1


class TestInitialize:
    def test_gains_and_zero_biases(self):
        mlp = MLP([6, 4, 4, 2])
        flat = np.full(mlp.num_parameters, 9.0)
        mlp.initialize(flat, np.random.default_rng(0), output_gain=0.01)
        for (weight, bias), gain in zip(
            mlp.views(flat), [math.sqrt(2.0), math.sqrt(2.0), 0.01], strict=True
        ):
            # Orthonormal columns times the gain.
            np.testing.assert_allclose(
                weight.T @ weight, gain**2 * np.eye(weight.shape[1]), atol=1e-12
            )
            assert not bias.any()


class TestOrthogonal:
    @pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
    def test_orthonormal(self, shape):
        q = orthogonal(np.random.default_rng(0), *shape)
        assert q.shape == shape
        product = q.T @ q if shape[0] >= shape[1] else q @ q.T
        np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)

    def test_uniform_over_signs(self):
        """QR alone fixes signs. The mean of 400 signs has standard error 1 / 20."""
        rng = np.random.default_rng(0)
        mean = np.mean([orthogonal(rng, 1, 1)[0, 0] for _ in range(400)])
        assert abs(mean) < 3 / 20


class TestTorchMLP:
    """In float64, where the closed form in numpy is as good as exact."""

    def test_products_are_those_of_the_closed_form(self, case):
        mlp, flat, inputs, module, rng = case
        network = TorchMLP(mlp, "cpu")
        ours = network.linearize(network.views(tensor(flat)), tensor(inputs))
        theirs = module.linearize(tensor(flat), tensor(inputs))
        u, v = tensor(rng.normal(size=ours.outputs.shape)), tensor(rng.normal(size=flat.shape))
        torch.testing.assert_close(ours.outputs, theirs.outputs, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(ours.vjp(u), theirs.vjp(u), rtol=0, atol=1e-12)
        torch.testing.assert_close(ours.jvp(v), theirs.jvp(v), rtol=0, atol=1e-12)

    def test_products_can_be_asked_again_and_leave_what_they_read_alone(self, case):
        mlp, flat, inputs, _, rng = case
        network, theta, x = TorchMLP(mlp, "cpu"), tensor(flat), tensor(inputs)
        here = network.linearize(network.views(theta), x)
        u, v = tensor(rng.normal(size=here.outputs.shape)), tensor(rng.normal(size=flat.shape))
        kept = [y.clone() for y in (u, v, here.outputs)]
        out = torch.full_like(theta, torch.nan)
        first, tangent = here.vjp(u, out=out), here.jvp(v)
        assert first is out
        assert torch.equal(here.vjp(u), first)
        assert torch.equal(here.jvp(v), tangent)
        for y, before in zip((u, v, here.outputs), kept, strict=True):
            assert torch.equal(y, before)
        np.testing.assert_array_equal(theta.numpy(), flat)
        np.testing.assert_array_equal(x.numpy(), inputs)

    def test_predict_takes_both_kinds_and_gives_numpy(self, case):
        mlp, flat, inputs, _, _ = case
        network = TorchMLP(mlp, "cpu")
        layers = network.views(tensor(flat))
        expected = network.linearize(layers, tensor(inputs)).outputs.numpy()
        for x in (inputs, tensor(inputs)):
            found = network.predict(layers, x)
            assert isinstance(found, np.ndarray)
            np.testing.assert_array_equal(found, expected)

    def test_what_lies_there_is_not_copied(self):
        x = torch.zeros(3, 2)
        assert TorchMLP(MLP([2, 1]), "cpu").to_device(x) is x


class TestModuleNetwork:
    def test_products_are_those_of_the_closed_form(self, case):
        mlp, flat, inputs, module, rng = case
        ours = mlp.linearize(mlp.views(flat), inputs)
        theirs = module.linearize(tensor(flat), tensor(inputs))
        u, v = rng.normal(size=ours.outputs.shape), rng.normal(size=flat.shape)
        np.testing.assert_allclose(theirs.vjp(tensor(u)).numpy(), ours.vjp(u), atol=1e-12)
        np.testing.assert_allclose(theirs.jvp(tensor(v)).numpy(), ours.jvp(v), atol=1e-12)

    def test_predict_takes_and_gives_numpy(self, case):
        mlp, flat, inputs, module, _ = case
        outputs = module.predict(module.views(tensor(flat)), inputs)
        assert isinstance(outputs, np.ndarray)
        np.testing.assert_allclose(outputs, mlp.predict(mlp.views(flat), inputs), rtol=1e-12)

    def test_other_modules_work(self):
        """A module that the closed form does not know, with its parameters in torch's order."""
        module = torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.GELU(), torch.nn.Linear(4, 2)
        )
        network = ModuleNetwork(module)
        flat = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
        inputs = np.random.default_rng(0).normal(size=(BATCH, 3)).astype(np.float32)
        expected = module(torch.from_numpy(inputs)).detach().numpy()
        np.testing.assert_allclose(network.predict(flat, inputs), expected, rtol=1e-6)
