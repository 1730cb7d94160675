"""The same numbers on a GPU as on the CPU, up to rounding. Skipped where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.algos import test_joint
from tests.algos.conftest import BUILD
from tests.support.small import BOX, SPACES, make_batch, make_policy, on_tensors
from trpo_cli.algos.ppo import PPO, PPOConfig
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.data.frames import FrameStacks
from trpo_cli.distributed.split import WHOLE
from trpo_cli.models import device_steps, orders
from trpo_cli.models.conv import ConvNet
from trpo_cli.models.device_steps import Captured
from trpo_cli.models.mlp import MLP
from trpo_cli.models.orders import draw_order
from trpo_cli.models.torch_mlp import TorchMLP
from trpo_cli.models.value import Value
from trpo_cli.models.values.mlp import MLPValueConfig
from trpo_cli.training.trainer import Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def network(device: str) -> ConvNet:
    return ConvNet((4, 52, 40), [(16, 4, 2), (16, 4, 2)], 20, 6, "relu", device)


def test_outputs_and_products_agree() -> None:
    generator = np.random.default_rng(0)
    planes = generator.integers(0, 256, (40, 52, 40), dtype=np.uint8)
    stacks = FrameStacks(planes, generator.integers(0, 40, (300, 4)))
    start = torch.zeros(network("cpu").num_parameters)
    network("cpu").initialize(start, generator, 1.0)
    v = torch.from_numpy(generator.normal(size=len(start)).astype(np.float32))
    u = torch.from_numpy(generator.normal(size=(300, 6)).astype(np.float32))
    found = []
    with torch.backends.cudnn.flags(allow_tf32=False):
        for device in ("cpu", "cuda"):
            net = network(device)
            here = net.linearize(net.views(start.to(device)), net.to_device(stacks))
            found.append(
                [x.cpu() for x in (here.outputs, here.jvp(v.to(device)), here.vjp(u.to(device)))]
            )
    for a, b in zip(*found, strict=True):
        assert float((a - b).norm() / a.norm()) < 1e-4  # sums of some thousand terms in float32


@pytest.mark.parametrize("algo", ["vpg", "npg", "trpo", "ppo"])
@pytest.mark.parametrize(
    "env", [["env=CartPole-v1"], ["env=ALE/Pong-v5", "policy=trpo_cnn", "policy.precision=float32"]]
)
def test_an_iteration_agrees(algo: str, env: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "DRAW_THERE", False)
    small = ["seed=1", "sampler.num_envs=4", "sampler.steps_per_env=32", "threads=1"]
    rows = []
    for device in ("cpu", "cuda"):
        training = Training(config_of(f"algo={algo}", *env, *small, f"device={device}"))
        rows.append(training.iterate())
        training.close()
    for key in ("policy/kl", "policy/entropy", "value/loss"):
        assert rows[0][key] == pytest.approx(rows[1][key], rel=0.05, abs=1e-5), key


COMMON: dict[str, Any] = {
    "epochs": 4,
    "minibatch_size": 24,  # does not divide the batch of 64
    "learning_rate": 2.0**-6,
    "entropy_coef": 0.01,
    "max_grad_norm": 0.3,
    "schedule": "constant",
}


@pytest.fixture(params=[True, False], ids=["captured", "eager"])
def captured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether steps are captured; in numpy's orders."""
    monkeypatch.setattr(orders, "DRAW_THERE", False)
    monkeypatch.setattr(device_steps, "CAPTURE", request.param)
    return bool(request.param)


class TestMinibatchSteps:
    """Against numpy's, in float64: the same up to the order of sums, as on CPU tensors."""

    @pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
    @pytest.mark.parametrize(
        ("rule", "settings"),
        [
            ("ppo", {}),
            ("ppo", {"target_kl": 5e-3}),
            ("ppo", {"entropy_coef": 0.0, "max_grad_norm": None}),
            ("ppo_penalty", {"kl_coef": 5.0}),
            ("dual", {"multiplier": 5.0}),
        ],
    )
    def test_three_updates_are_numpy_s(
        self, captured: bool, space: spaces.Space[Any], rule: str, settings: dict[str, Any]
    ) -> None:
        """Captured in the first one; later ones have other batches in other places."""
        ours = make_policy(space)
        theirs = on_tensors(ours, "cuda")
        rules = [BUILD[rule](policy, **{**COMMON, **settings}) for policy in (ours, theirs)]
        for seed, size in enumerate([64, 64, 100]):
            batch, rows = make_batch(ours, seed=seed, size=size), []
            for policy, built in zip((ours, theirs), rules, strict=True):
                arrays = {
                    name: policy.to_device(getattr(batch, name))
                    for name in ("observations", "actions", "advantages", "targets")
                }
                there, generator = replace(batch, **arrays), np.random.default_rng(seed)
                rows.append(built.update(policy, there, generator, 1.0))
            assert rows[1]["policy/epochs"] == rows[0]["policy/epochs"]
            # A penalty that adapts is a float32 there: 3e-8 of it.
            np.testing.assert_allclose(
                theirs.parameters.cpu().numpy(), ours.parameters, rtol=0, atol=1e-6
            )
        assert rules[1]._optimizer._adam.steps == rules[0]._optimizer._adam.steps

    def test_a_resumed_rule_replays_on(self, captured: bool) -> None:
        """Adam's state is read from the outside and written into what a graph has captured."""
        policy = on_tensors(make_policy(BOX), "cuda")
        batch = make_batch(on_tensors(make_policy(BOX)))
        batch = replace(batch, **{
            name: getattr(batch, name).cuda()
            for name in ("observations", "actions", "advantages", "targets")
        })  # fmt: skip
        rule = BUILD["ppo"](policy, **COMMON)
        rule.update(policy, batch, np.random.default_rng(0), 1.0)
        start = policy.parameters.clone()
        state = {key: x.cpu().numpy().copy() for key, x in rule.state().items()}
        found = []
        for again in (rule, rule, BUILD["ppo"](policy, **COMMON)):
            policy.parameters.copy_(start)
            again.load_state(state)
            again.update(policy, batch, np.random.default_rng(1), 1.0)
            found.append(policy.parameters.clone())
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], rtol=0, atol=1e-12)

    def test_images(self, captured: bool) -> None:
        """The weights that the network converts are those of now, in a replay and behind it.

        float32; TF32's ten bits in convolutions are switched off.
        """
        found = []
        with torch.backends.cudnn.flags(allow_tf32=False):
            for device in ("cpu", "cuda"):
                policy = test_joint.make_policy(device)
                batch = test_joint.make_batch(policy)
                rule = PPO(PPOConfig(**{**COMMON, "minibatch_size": 12}), policy, 0.7)
                for seed in range(3):
                    rule.update(policy, batch, np.random.default_rng(seed), 1.0)
                distribution: Any = policy.distribution(batch.observations)
                found.append([policy.parameters.cpu(), distribution.probs().cpu()])
        for ours, theirs in zip(*found, strict=True):
            # 48 steps of 2^-6, each off by some 1e-6 of itself at first, and then by more.
            torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-3)

    def test_a_step_is_captured_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        captures: list[Any] = []
        capture = Captured._capture

        def counted(self: Captured) -> Any:
            captures.append(self)
            return capture(self)

        monkeypatch.setattr(Captured, "_capture", counted)
        policy = on_tensors(make_policy(BOX, dtype=np.float32), "cuda")
        rule = BUILD["ppo"](policy, **COMMON)
        for seed in range(3):
            rule.update(policy, on_gpu(seed), np.random.default_rng(seed), 1.0)
        assert len(captures) == 1


def on_gpu(seed: int) -> Any:
    """A batch of 64 on the GPU, float32."""
    batch = make_batch(on_tensors(make_policy(BOX, dtype=np.float32)), seed=seed)
    names = ("observations", "actions", "advantages", "targets")
    return replace(batch, **{name: getattr(batch, name).cuda() for name in names})


class TestValueFit:
    @pytest.mark.parametrize("minibatch_size", [100, None])
    def test_fits_are_numpy_s(self, captured: bool, minibatch_size: int | None) -> None:
        config = MLPValueConfig(
            epochs=10, hidden_sizes=[16], learning_rate=2.0**-8, minibatch_size=minibatch_size
        )
        mlp = MLP([3, 16, 1])
        start = np.zeros(mlp.num_parameters)
        mlp.initialize(start, np.random.default_rng(0), 0.01)
        there = TorchMLP(mlp, "cuda")
        ours, theirs = (
            Value(config, mlp, start.copy()),
            Value(config, there, there.to_device(start)),
        )
        for seed in range(3):
            x = np.random.default_rng(seed).normal(size=(256, 3))
            returns = (seed + 1) * (50.0 + 20.0 * np.tanh(x[:, 0] - x[:, 1]))
            expected = ours.fit(x, returns, np.random.default_rng(1), 1.0)
            seen, wanted = theirs.to_device(x), torch.as_tensor(returns, device="cuda")
            found = theirs.fit(seen, wanted, np.random.default_rng(1), 1.0)
            assert found["value/loss"] == pytest.approx(expected["value/loss"], rel=1e-9)
            np.testing.assert_allclose(theirs.predict(seen), ours.predict(x), rtol=1e-9)


class TestDrawOrder:
    def test_is_a_permutation_that_follows_the_generator(self) -> None:
        parameters = torch.zeros(1, device="cuda")
        size = 100_000
        first, again, other = (
            draw_order(size, np.random.default_rng(seed), parameters, WHOLE) for seed in (1, 1, 2)
        )
        assert first.is_cuda
        assert torch.equal(first.sort().values, torch.arange(size, device="cuda"))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
