"""The convolutional network against torch's own modules and autograd."""

import math
import threading
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from tests.support.small import global_generators, oracle_kl, oracle_parts
from trpo_cli.data.frames import FrameStacks
from trpo_cli.errors import UserError
from trpo_cli.maths.adam import Adam
from trpo_cli.models import conv, parts
from trpo_cli.models.conv import ConvNet
from trpo_cli.models.image_networks import image_network
from trpo_cli.models.policies.nature_cnn import NatureCNNPolicyConfig
from trpo_cli.models.policies.trpo_cnn import TRPOCNNPolicyConfig
from trpo_cli.models.policy import Policy

# Each architecture with images a little larger than its smallest.
CONVOLUTIONS = {
    "nature_cnn": NatureCNNPolicyConfig.convolutions,
    "trpo_cnn": TRPOCNNPolicyConfig.convolutions,
}
SHAPES = {"nature_cnn": (3, 40, 44), "trpo_cnn": (3, 17, 14)}
HIDDEN, OUTPUTS = 11, 5
every_network = pytest.mark.parametrize(
    ("name", "activation"),
    [(name, activation) for name in SHAPES for activation in ("relu", "tanh")],
)


def make(name="trpo_cnn", activation="relu", **settings) -> tuple[ConvNet, torch.Tensor]:
    """A network and parameters far from zero, biases included."""
    network = ConvNet(SHAPES[name], CONVOLUTIONS[name], HIDDEN, OUTPUTS, activation, **settings)
    flat = torch.zeros(network.num_parameters)
    network.initialize(flat, np.random.default_rng(0), output_gain=1.0)
    flat += 0.05 * torch.from_numpy(
        np.random.default_rng(1).standard_normal(len(flat)).astype(np.float32)
    )
    return network, flat


def images(name="trpo_cnn", size=7, seed=2) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (size, *SHAPES[name]), dtype=np.uint8)


def module(name, activation, dtype=torch.float64) -> nn.Sequential:
    """The same architecture of torch's modules, for images of 0 to 1."""
    channels, height, width = SHAPES[name]
    layers: list[nn.Module] = []
    squash = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    for number, kernel, stride in CONVOLUTIONS[name]:
        layers += [nn.Conv2d(channels, number, kernel, stride), squash()]
        channels = number
        height, width = ((side - kernel) // stride + 1 for side in (height, width))
    layers += [nn.Flatten(), nn.Linear(channels * height * width, HIDDEN), squash()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, OUTPUTS)).to(dtype)


def oracle(name, activation, x, dtype=torch.float64):
    """theta -> outputs, in double precision."""
    net = module(name, activation, dtype)
    names = [key for key, _ in net.named_parameters()]
    shapes = [value.shape for value in net.parameters()]
    inputs = torch.from_numpy(x).to(dtype) / 255.0

    def outputs(theta):
        parts = theta.split([math.prod(shape) for shape in shapes])
        named = {k: part.view(s) for k, part, s in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(net, named, (inputs,))

    return outputs


def relative(found, expected) -> float:
    """The largest error, in units of the largest number expected."""
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    return float((found - expected).abs().max() / expected.abs().max())


# Sums of some thousand float32 products, against double precision.
CLOSE = 3e-6


class TestAgainstAutograd:
    @every_network
    def test_outputs_and_products(self, name, activation):
        network, flat = make(name, activation)
        x, generator = images(name), np.random.default_rng(3)
        function = oracle(name, activation, x)
        theta = flat.double()
        assert len(theta) == sum(p.numel() for p in module(name, activation).parameters())
        here = network.linearize(network.views(flat), torch.from_numpy(x))
        assert here.outputs.dtype == torch.float32
        assert relative(here.outputs, function(theta)) < CLOSE

        u = torch.from_numpy(generator.standard_normal((len(x), OUTPUTS)))
        _, pulled = torch.autograd.functional.vjp(function, theta, u)
        assert relative(here.vjp(u.float()), pulled) < CLOSE

        v = torch.from_numpy(generator.standard_normal(len(flat)))
        _, pushed = torch.autograd.functional.jvp(function, theta, v)
        assert relative(here.jvp(v.float()), pushed) < CLOSE

    @every_network
    def test_the_products_are_transposes(self, name, activation):
        network, flat = make(name, activation)
        generator = np.random.default_rng(4)
        here = network.linearize(network.views(flat), torch.from_numpy(images(name)))
        u = torch.from_numpy(generator.standard_normal((7, OUTPUTS)).astype(np.float32))
        v = torch.from_numpy(generator.standard_normal(len(flat)).astype(np.float32))
        left, right = (u * here.jvp(v)).sum(), here.vjp(u) @ v
        # Against the sizes of the terms: the sums themselves may nearly cancel.
        assert abs(left - right) < CLOSE * u.norm() * here.jvp(v).norm()

    def test_every_way_to_the_outputs(self):
        network, flat = make()
        x, layers = images(), network.views(flat)
        expected = network.linearize(layers, torch.from_numpy(x)).outputs
        torch.testing.assert_close(network.outputs(layers, torch.from_numpy(x)), expected)
        predicted = network.predict(layers, x)
        assert isinstance(predicted, np.ndarray)
        np.testing.assert_array_equal(predicted, expected.numpy())

    def test_features_are_the_layer_below_the_outputs(self):
        network, flat = make()
        layers = network.views(flat)
        weight, bias = layers[-1]
        features = torch.from_numpy(network.features(layers, images()))
        assert features.shape == (7, HIDDEN)
        torch.testing.assert_close(
            features @ weight.T + bias, network.outputs(layers, torch.from_numpy(images()))
        )

    def test_the_vjp_is_written_where_asked_and_nothing_is_left_of_what_was_there(self):
        network, flat = make()
        here = network.linearize(network.views(flat), torch.from_numpy(images()))
        u = torch.ones(7, OUTPUTS)
        expected = here.vjp(u)
        out = torch.full_like(flat, 1e9)
        assert here.vjp(u, out=out) is out
        torch.testing.assert_close(out, expected, rtol=0, atol=0)


class TestChunks:
    @pytest.mark.parametrize("keep", [0, 2**30])
    def test_a_large_batch_in_parts(self, monkeypatch, keep):
        """In parts of three rows, activations kept or made again."""
        network, flat = make()
        layers, x = network.views(flat), torch.from_numpy(images(size=10))
        u, v = torch.sin(torch.arange(50.0)).view(10, OUTPUTS), torch.sin(torch.arange(len(flat)))
        whole = network.linearize(layers, x)
        expected = whole.outputs, whole.vjp(u), whole.jvp(v)
        monkeypatch.setitem(conv.CHUNK, "cpu", 3)
        monkeypatch.setitem(conv.KEEP_BYTES, "cpu", keep)
        passes, forward = [], network.forward

        def counted(weights, chunk):
            passes.append(len(chunk))
            return forward(weights, chunk)

        monkeypatch.setattr(network, "forward", counted)
        pieces = network.linearize(layers, x)
        found = pieces.outputs, pieces.vjp(u), pieces.jvp(v)
        for ours, theirs in zip(found, expected, strict=True):
            assert relative(ours, theirs) < CLOSE
        assert passes == [3, 3, 3, 1] * (1 if keep else 3)

    def test_threads_change_no_bit(self, monkeypatch):
        """The parts are shared out, and added up in their order."""
        network, flat = make()
        layers, generator = network.views(flat), np.random.default_rng(6)
        planes = generator.integers(0, 256, (9, *SHAPES["trpo_cnn"][1:]), dtype=np.uint8)
        inputs = network.to_device(FrameStacks(planes, generator.integers(0, 9, (40, 3))))
        inputs = inputs[generator.permutation(40)]
        u, v = torch.sin(torch.arange(200.0)).view(40, OUTPUTS), torch.sin(torch.arange(len(flat)))
        monkeypatch.setitem(conv.CHUNK, "cpu", 3)
        seen, forward = set(), network.forward

        def noted(weights, chunk):
            seen.add(threading.get_ident())
            return forward(weights, chunk)

        monkeypatch.setattr(network, "forward", noted)
        found = []
        for threads in (1, 2, 5):
            monkeypatch.setattr(parts, "_threads", threads)
            here = network.linearize(layers, inputs)
            found.append((here.outputs, here.vjp(u), here.jvp(v), network.outputs(layers, inputs)))
        assert threading.get_ident() in seen and len(seen) > 1
        for others in found[1:]:
            for ours, theirs in zip(others, found[0], strict=True):
                assert torch.equal(ours, theirs)

    def test_frame_stacks_are_their_images(self):
        network, flat = make()
        generator = np.random.default_rng(5)
        planes = generator.integers(0, 256, (9, *SHAPES["trpo_cnn"][1:]), dtype=np.uint8)
        stacks = FrameStacks(planes, generator.integers(0, 9, (20, 3)))
        layers = network.views(flat)
        np.testing.assert_array_equal(
            network.predict(layers, stacks), network.predict(layers, planes[stacks.index])
        )
        here = network.linearize(layers, network.to_device(stacks))
        plain = network.linearize(layers, network.to_device(stacks.stack()))
        u = torch.ones(20, OUTPUTS)
        torch.testing.assert_close(here.vjp(u), plain.vjp(u), rtol=0, atol=0)


class TestPrepared:
    """What is derived from the parameters is kept only as long as they stay."""

    @pytest.mark.parametrize("way", ["slice", "view", "adam", "other"])
    def test_a_move_is_noticed(self, way):
        network, flat = make()
        layers, x = network.views(flat), images()
        before = network.predict(layers, x)
        np.testing.assert_array_equal(network.predict(layers, x), before)
        moved = flat + 0.1 * torch.sign(flat)
        if way == "slice":
            flat[:] = moved
        elif way == "view":
            layers[-1][1].add_(1.0)  # shares memory with the first layer's, not the tensor
        elif way == "adam":
            Adam(flat).step(-torch.sign(flat), 0.1)
        else:
            layers = network.views(moved)
        after = network.predict(layers, x)
        fresh, _ = make()
        expected = fresh.predict(fresh.views(flat.clone() if way != "other" else moved), x)
        np.testing.assert_array_equal(after, expected)
        assert abs(after - before).max() > 0.1


class TestPrecision:
    @every_network
    def test_bfloat16_is_near_float32(self, name, activation):
        x, u = torch.from_numpy(images(name)), torch.ones(7, OUTPUTS)
        results = []
        for precision in ("float32", "bfloat16"):
            network, flat = make(name, activation, precision=precision)
            here = network.linearize(network.views(flat), x)
            v = torch.sin(torch.arange(len(flat)))
            results.append((here.outputs, here.vjp(u), here.jvp(v)))
        for exact, rough in zip(*results, strict=True):
            assert rough.dtype == torch.float32
            # Eight bits of mantissa: 0.4 percent for each of the roundings on the way.
            assert 0.0 < relative(rough, exact) < 0.05

    def test_the_parameters_stay_as_they_are(self):
        network, flat = make(precision="bfloat16")
        before = flat.clone()
        network.predict(network.views(flat), images())
        assert flat.dtype == torch.float32 and torch.equal(flat, before)


def by_hand(image, convolutions, hidden, outputs) -> int:
    """Weights and biases, layer by layer."""
    channels, height, width = image
    total = 0
    for number, kernel, stride in convolutions:
        total += number * channels * kernel**2 + number
        height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        channels = number
    return total + (channels * height * width + 1) * hidden + (hidden + 1) * outputs


class TestArchitectures:
    @pytest.mark.parametrize(
        ("config", "image", "parameters"),
        [
            # The sums of the docstring, and of Mnih et al.: 8,224 + 32,832 + 36,928 + 1,606,144
            # + 3,078 for six actions.
            (TRPOCNNPolicyConfig(hidden_size=20), (4, 52, 40), 1_040 + 4_112 + 28_180 + 126),
            (NatureCNNPolicyConfig(), (4, 84, 84), 8_224 + 32_832 + 36_928 + 1_606_144 + 3_078),
        ],
    )
    def test_parameters(self, config: Any, image, parameters):
        config.precision = "float32"
        box = spaces.Box(0, 255, image, np.uint8)
        policy = config.build(box, spaces.Discrete(6), np.random.default_rng(0))
        convolutions = config.convolutions
        assert by_hand(image, convolutions, config.hidden_size, 6) == parameters
        assert len(policy.parameters) == parameters
        joint = config.build(box, spaces.Discrete(6), np.random.default_rng(0), with_value=True)
        assert len(joint.parameters) == parameters + config.hidden_size + 1

    def test_the_papers_number(self):
        """33,500 parameters, within the three digits that it gives."""
        count = by_hand((4, 52, 40), CONVOLUTIONS["trpo_cnn"], 20, 6)
        assert round(count, -2) == 33_500 and count == 33_458
        assert by_hand((4, 84, 84), CONVOLUTIONS["nature_cnn"], 512, 6) == 1_687_206

    def test_colours_last_are_channels(self):
        config = TRPOCNNPolicyConfig(precision="float32")
        made = [
            image_network(
                config, spaces.Box(0, 255, shape, np.uint8), 2, np.random.default_rng(0), 1.0, "cpu"
            )
            for shape in ((20, 24, 3), (3, 20, 24))
        ]
        np.testing.assert_array_equal(made[0][1], made[1][1])
        count = by_hand((3, 20, 24), CONVOLUTIONS["trpo_cnn"], config.hidden_size, 2)
        assert len(made[0][1]) == count

    @pytest.mark.parametrize(("name", "side"), [("nature_cnn", 36), ("trpo_cnn", 10)])
    def test_images_have_a_smallest_size(self, name, side):
        kind: Any = {"nature_cnn": NatureCNNPolicyConfig, "trpo_cnn": TRPOCNNPolicyConfig}[name]
        config = kind(precision="float32")

        def build(height, width):
            box = spaces.Box(0, 255, (4, height, width), np.uint8)
            return image_network(config, box, 2, np.random.default_rng(0), 1.0, "cpu")

        build(side, side)
        with pytest.raises(UserError, match=rf"policy={name}.*too small"):
            build(side, side - 1)
        with pytest.raises(UserError, match="too small"):
            build(side - 1, side)


class TestInitialize:
    def test_orthogonal_with_the_gains_and_zero_biases(self):
        network = ConvNet((2, 17, 14), CONVOLUTIONS["trpo_cnn"], 20, 3)
        flat = torch.ones(network.num_parameters)
        state = global_generators()
        network.initialize(flat, np.random.default_rng(0), output_gain=0.01)
        assert global_generators() == state
        layers = network.views(flat)
        for number, (weight, bias) in enumerate(layers):
            assert not bias.any()
            rows = weight.flatten(1).double()
            gain = 0.01 if number == len(layers) - 1 else math.sqrt(2.0)
            gram = rows @ rows.T
            torch.testing.assert_close(
                gram, gain**2 * torch.eye(len(rows)).double(), rtol=0, atol=1e-5 * gain**2
            )


# Small enough for an explicit Fisher matrix: 2 channels, 3 units.
TINY = (1, 6, 5), [(2, 3, 2)], 3


class TestPolicy:
    def tiny(self, with_value=False) -> Policy:
        from trpo_cli.models.heads import make_head
        from trpo_cli.models.normalizer import IdentityNormalizer

        head = make_head(spaces.Discrete(3), "rescale")
        image, convolutions, hidden = TINY
        network = ConvNet(image, convolutions, hidden, 3 + with_value, "tanh")
        flat = torch.zeros(network.num_parameters)
        network.initialize(flat, np.random.default_rng(0), output_gain=1.0)
        return Policy(network, head, IdentityNormalizer(), flat)

    def test_fisher_product_is_the_hessian_of_the_mean_kl(self):
        policy = self.tiny()
        x = np.random.default_rng(1).integers(0, 256, (12, 1, 6, 5), dtype=np.uint8)
        net = nn.Sequential(
            nn.Conv2d(1, 2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh(),
            nn.Linear(3, 3),
        ).double()  # fmt: skip
        inputs = torch.from_numpy(x) / 255.0
        named = dict(net.named_parameters())

        def parts(theta):
            pieces = theta.split([p.numel() for p in named.values()])
            values = {
                k: piece.view(p.shape) for (k, p), piece in zip(named.items(), pieces, strict=True)
            }
            outputs = torch.func.functional_call(net, values, (inputs.double(),))
            return oracle_parts(spaces.Discrete(3), outputs, torch.zeros(0))

        theta = policy.parameters.double()
        old = parts(theta)
        hessian: Any = torch.autograd.functional.hessian(
            lambda new: oracle_kl(old, parts(new)).mean(), theta
        )
        here = policy.linearize(policy.to_device(x))
        columns = [here.fisher_product(v) for v in torch.eye(len(theta))]
        assert relative(torch.stack(columns), hessian) < CLOSE

    def test_the_value_is_one_more_output_that_the_policy_does_not_see(self):
        plain, joint = self.tiny(), self.tiny(with_value=True)
        x = np.random.default_rng(1).integers(0, 256, (12, 1, 6, 5), dtype=np.uint8)
        size = len(plain.parameters)
        # The last layer's weight grows by a row, its bias by one number.
        joint.parameters[: size - 3] = plain.parameters[: size - 3]
        joint.parameters[size : size + 3] = plain.parameters[-3:]
        joint.parameters[-1] = 4.0
        noise = plain.noise(np.random.default_rng(2), (12,))
        np.testing.assert_array_equal(joint.act(x, noise), plain.act(x, noise))
        here, there = (p.linearize(p.to_device(x)) for p in (joint, plain))
        assert there.values is None and here.values is not None
        assert here.values.shape == (12,)
        np.testing.assert_array_equal(here.values.numpy(), joint.values(x))
        # F has nothing to do with V.
        v = torch.zeros(len(joint.parameters))
        v[size - 3 : size], v[-1] = 1.0, 1.0  # the value's weights and bias
        assert not here.fisher_product(v).any()
        assert here.jvp(v).outputs.shape == (12, 3)
