"""Every kind of policy in every format does what the policy does."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

from tests.support.small import f32
from trpo_cli.errors import UserError
from trpo_cli.export.check import TOLERANCE, differences, outputs_of, regret
from trpo_cli.export.formats import FORMATS, Acting
from trpo_cli.export.module import acting_module, compute_in_float32
from trpo_cli.models.autograd import module_policy
from trpo_cli.models.heads import make_head
from trpo_cli.models.mlp import ACTIVATIONS
from trpo_cli.models.policies.gru import GRUPolicyConfig
from trpo_cli.models.policies.linear import LinearPolicyConfig
from trpo_cli.models.policies.lstm import LSTMPolicyConfig
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.models.policies.nature_cnn import NatureCNNPolicyConfig
from trpo_cli.models.policies.trpo_cnn import TRPOCNNPolicyConfig
from trpo_cli.models.policy import Policy

VECTORS = spaces.Box(-10.0, 10.0, (3,))
BOUNDED = spaces.Box(f32([-2.0, 0.0]), f32([4.0, np.inf]))
ACTIONS: dict[str, tuple[spaces.Space[Any], str]] = {
    **{way: (BOUNDED, way) for way in ("rescale", "clip", "squash", "raw")},
    "matrix": (spaces.Box(-3.0, 5.0, (2, 2)), "rescale"),
    "choice": (spaces.Discrete(3, start=5), "rescale"),
    "choices": (spaces.MultiDiscrete([2, 3], start=[1, -4]), "rescale"),
    "coins": (spaces.MultiBinary(2), "rescale"),
}
every_format = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name == "onnx" and not importlib.util.find_spec("onnxruntime"),
                reason="needs onnx and onnxruntime",
            ),
        )
        for name in FORMATS
    ],
)


def world(observations: spaces.Box, actions: spaces.Space[Any]) -> Any:
    """What is read of a simulator: its action space counts from 0."""
    start: Any = getattr(actions, "start", 0)
    return SimpleNamespace(observation_space=observations, action_space=actions, action_start=start)


def policy_of(config: Any, simulator: Any, **how: Any) -> Policy:
    """With biases and log deviations away from zero, and statistics of observations."""
    generator = np.random.default_rng(0)
    config = replace(config, output_gain=1.0)
    policy: Policy = config.build(
        simulator.observation_space, simulator.action_space, generator, **how
    )
    moved = 0.05 * generator.standard_normal(len(policy.parameters)).astype(np.float32)
    policy.parameters[:] += policy.to_device(moved)
    if policy.normalizer.enabled:
        policy.normalizer.update(generator.normal(2.0, 3.0, (50, *VECTORS.shape)))
    return policy


def seen(space: spaces.Box, count: int = 300) -> np.ndarray:
    """Observations; of vectors some that are clipped."""
    generator = np.random.default_rng(1)
    if space.dtype == np.uint8:
        return generator.integers(0, 256, (count, *space.shape), dtype=np.uint8)
    return generator.normal(0.0, 20.0, (count, *space.shape)).astype(np.float32)


def written(policy: Policy, simulator: Any, name: str) -> Acting:
    module = acting_module(policy, simulator)
    example = seen(simulator.observation_space, 2)
    return FORMATS[name].read(FORMATS[name].write(module, example, {"env": "here"}))


def check(policy: Policy, simulator: Any, name: str) -> None:
    acting = written(policy, simulator, name)
    found = differences(policy, simulator, acting, seen(simulator.observation_space))
    names = {"action", "mean", "std"} if "mean" in found else {"action", "logits"}
    assert found.keys() == names
    assert max(found.values()) < TOLERANCE


@every_format
class TestActsAsThePolicy:
    @pytest.mark.parametrize("kind", ACTIONS)
    def test_with_every_kind_of_action(self, name: str, kind: str) -> None:
        space, way = ACTIONS[kind]
        simulator = world(VECTORS, space)
        policy = policy_of(MLPPolicyConfig(hidden_sizes=[5], actions=way), simulator)
        check(policy, simulator, name)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_with_every_activation(self, name: str, activation: str) -> None:
        config = MLPPolicyConfig(hidden_sizes=[5, 4], activation=activation)
        simulator = world(VECTORS, spaces.Discrete(3))
        check(policy_of(config, simulator), simulator, name)

    def test_with_layer_normalisation(self, name: str) -> None:
        config = MLPPolicyConfig(hidden_sizes=[5, 4], layer_norm=True)
        simulator = world(VECTORS, BOUNDED)
        check(policy_of(config, simulator), simulator, name)

    @pytest.mark.parametrize("way", ["rescale", "squash"])
    def test_with_a_deviation_that_depends_on_the_state(self, name: str, way: str) -> None:
        config = MLPPolicyConfig(hidden_sizes=[5], log_std="state", actions=way)
        simulator = world(VECTORS, BOUNDED)
        policy = policy_of(config, simulator)
        std = written(policy, simulator, name)(seen(VECTORS))["std"]
        assert np.ptp(std, axis=0).min() > 0.1
        check(policy, simulator, name)

    def test_that_is_linear_without_bias_or_normaliser(self, name: str) -> None:
        config = LinearPolicyConfig(bias=False, normalize_observations=False)
        simulator = world(spaces.Box(-1.0, 1.0, (3, 2)), BOUNDED)
        check(policy_of(config, simulator), simulator, name)

    @pytest.mark.parametrize("shape", [(4, 40, 36), (40, 36, 3)], ids=["planes", "colours"])
    @pytest.mark.parametrize("with_value", [False, True])
    def test_on_images(self, name: str, shape: tuple[int, ...], with_value: bool) -> None:
        simulator = world(spaces.Box(0, 255, shape, np.uint8), spaces.Discrete(4))
        for config in (
            TRPOCNNPolicyConfig(activation="tanh", precision="float32"),
            NatureCNNPolicyConfig(hidden_size=8, precision="float32"),
        ):
            check(policy_of(config, simulator, with_value=with_value), simulator, name)

    @pytest.mark.parametrize("config", [GRUPolicyConfig, LSTMPolicyConfig])
    @pytest.mark.parametrize("kind", ["squash", "choice"])
    def test_that_remembers(self, name: str, config: Any, kind: str) -> None:
        """From states of any size; not as plain arrays."""
        space, way = ACTIONS[kind]
        simulator = world(VECTORS, space)
        policy = policy_of(config(memory_size=4, hidden_sizes=[5], actions=way), simulator)
        if name == "npz":
            with pytest.raises(UserError, match="torchscript or onnx"):
                written(policy, simulator, name)
            return
        observations = seen(simulator.observation_space)
        states = np.random.default_rng(2).normal(size=(len(observations), policy.state_size))
        found = differences(
            policy, simulator, written(policy, simulator, name), observations, f32(states)
        )
        assert "state" in found and max(found.values()) < TOLERANCE

    def test_on_a_gpu_s_kind_of_network(self, name: str) -> None:
        """An MLP that autograd differentiates: its parameters are a tensor."""
        simulator = world(VECTORS, BOUNDED)

        def build(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(nn.Linear(inputs, 6), nn.SiLU(), nn.Linear(6, outputs))

        policy = module_policy(build, VECTORS, BOUNDED, np.random.default_rng(0))
        check(policy, simulator, name)


def test_what_the_outputs_mean() -> None:
    """N(0.5, e^-1) of a network without weights, by hand: bounds [-2, 4] have centre 1 and half
    width 3; the second action has one bound only, 0."""
    simulator = world(VECTORS, BOUNDED)
    e = math.exp(-1.0)
    for way, action, mean, std in (
        ("rescale", [2.5, 0.5], [2.5, 0.5], [3 * e, e]),
        ("clip", [0.5, 0.5], [0.5, 0.5], [e, e]),
        ("raw", [0.5, 0.5], [0.5, 0.5], [e, e]),
        ("squash", [1 + 3 * math.tanh(0.5), 0.5], [0.5, 0.5], [e, e]),
    ):
        policy = policy_of(LinearPolicyConfig(actions=way), simulator)
        policy.parameters[:] = f32([0] * 6 + [0.5, 0.5, -1, -1])
        found = outputs_of(policy, seen(VECTORS, 1), 0)
        for key, expected in (("action", action), ("mean", mean), ("std", std)):
            np.testing.assert_allclose(found[key], [expected], rtol=1e-6, err_msg=f"{way} {key}")


def test_actions_are_the_environment_s_own() -> None:
    """Three choices from 5 on: the largest logit is the second's."""
    simulator = world(VECTORS, spaces.Discrete(3, start=5))
    policy = policy_of(LinearPolicyConfig(), simulator)
    policy.parameters[:] = f32([0] * 9 + [0, 2, 1])
    acting = written(policy, simulator, "npz")
    assert acting(seen(VECTORS, 2))["action"].tolist() == [6, 6]


class TestRegret:
    """How bad another choice is, in logits of the policy's own."""

    def test_of_choices(self) -> None:
        head = make_head(spaces.MultiDiscrete([2, 3]), "rescale")
        logits = np.array([[1.0, 0.0, 5.0, 5.0, 2.0]])
        own = np.array([[0, 0]])
        for other, expected in (([0, 0], 0.0), ([1, 0], 1.0), ([0, 1], 0.0), ([1, 2], 3.0)):
            assert regret(head, logits, own, np.array([other])) == expected
        assert regret(head, logits, own, np.array([[0, 3]])) == np.inf
        assert regret(head, logits, own, np.array([0])) == np.inf

    def test_of_coins(self) -> None:
        head = make_head(spaces.MultiBinary(2), "rescale")
        logits, own = np.array([[0.25, -3.0]]), np.array([[1, 0]])
        for other, expected in (([1, 0], 0.0), ([0, 0], 0.25), ([0, 1], 3.0)):
            assert regret(head, logits, own, np.array([other])) == expected


def test_bfloat16_becomes_float32() -> None:
    simulator = world(spaces.Box(0, 255, (4, 40, 36), np.uint8), spaces.Discrete(4))
    policy = policy_of(TRPOCNNPolicyConfig(precision="bfloat16"), simulator)
    assert compute_in_float32(policy)
    check(policy, simulator, "npz")
    assert not compute_in_float32(policy)


class TestRefused:
    def test_arrays_of_another_kind_of_network(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 3)

            def forward(self, x: Any) -> Any:
                return self.layer(x) + x

        space = spaces.Discrete(3)
        policy = module_policy(lambda n, m: Net(), VECTORS, space, np.random.default_rng(0))
        check(policy, world(VECTORS, space), "torchscript")
        with pytest.raises(UserError, match=r"has a Net\. Try --format torchscript"):
            written(policy, world(VECTORS, space), "npz")

    @pytest.mark.parametrize(
        ("part", "what"),
        [("network", "network"), ("head", "head"), ("normalizer", "normaliser")],
    )
    def test_parts_of_somebody_else_s(self, part: str, what: str) -> None:
        class Theirs:
            num_outputs, num_parameters = 3, 12

        simulator = world(VECTORS, spaces.Discrete(3))
        policy = policy_of(LinearPolicyConfig(), simulator)
        setattr(policy, part, Theirs())
        with pytest.raises(UserError, match=f"{what} is Theirs, which cannot be exported"):
            acting_module(policy, simulator)
