"""Steps that a device takes alone, on CPU tensors: the same as those that somebody waits for.

In float64, where only the order of sums differs. Step sizes are powers of two, which float32 holds:
there a captured step reads them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.algos import test_joint
from tests.algos.conftest import BUILD, Updated
from tests.support.small import BOX, DISCRETE, SPACES, make_batch, make_policy, on_tensors
from trpo_cli.algos.device_epochs import DeviceEpochs
from trpo_cli.algos.ppo import PPO, PPOConfig
from trpo_cli.data.frames import FrameStacks
from trpo_cli.distributed.split import WHOLE
from trpo_cli.models import conv, device_steps, orders
from trpo_cli.models.device_fit import DeviceFit
from trpo_cli.models.mlp import MLP
from trpo_cli.models.orders import draw_order, takes_alone
from trpo_cli.models.torch_mlp import TorchMLP
from trpo_cli.models.value import Value
from trpo_cli.models.values.mlp import MLPValueConfig

every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
COMMON: dict[str, Any] = {
    "epochs": 4,
    "minibatch_size": 24,  # does not divide the batch of 64
    "learning_rate": 2.0**-6,
    "entropy_coef": 0.01,
    "max_grad_norm": 0.3,
    "schedule": "constant",
}
TOLERANCE = 1e-10
"""Of parameters of order one after 12 steps, each of a relative rounding of 1e-16; Adam divides a
gradient by its own size."""

Both = Callable[..., tuple[Updated, Updated]]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Both:
    """The same update from the same start: numpy's, and alone on CPU tensors."""
    monkeypatch.setattr(orders, "KINDS", ("cpu",))

    def call(rule: str, space: Any = BOX, change: Any = None, **settings: Any) -> Any:
        made: list[Updated] = []
        for policy in (make_policy(space), on_tensors(make_policy(space))):
            batch = make_batch(policy)
            if change is not None:
                batch = replace(batch, advantages=change(batch.advantages))
            assert takes_alone(policy.parameters, batch.split) == bool(made)
            made.append(Updated(policy, batch, rule, 5, {**COMMON, **settings}))
        return tuple(made)

    return call


def check(ours: Updated, theirs: Updated) -> None:
    np.testing.assert_allclose(theirs.after, ours.after, rtol=0, atol=TOLERANCE)
    assert abs(ours.step).max() > 0.01
    assert theirs["policy/epochs"] == ours["policy/epochs"]
    assert theirs["policy/kl"] == pytest.approx(ours["policy/kl"], rel=1e-7)


class TestTheSameSteps:
    @every_space
    @pytest.mark.parametrize("objective", ["clip", "clip_only", "spo", "unclipped"])
    def test_objectives(self, both: Both, space: Any, objective: str) -> None:
        check(*both("ppo", space, objective=objective, clip_range=0.1))

    @every_space
    @pytest.mark.parametrize("rule", ["ppo_penalty", "dual"])
    def test_penalties(self, both: Both, space: Any, rule: str) -> None:
        check(*both(rule, space, **{{"ppo_penalty": "kl_coef", "dual": "multiplier"}[rule]: 5.0}))

    @pytest.mark.parametrize("size", [1, 16, 63, 64, 65, None])
    def test_minibatches_that_do_and_do_not_divide(self, both: Both, size: int | None) -> None:
        check(*both("ppo", minibatch_size=size))

    def test_without_bonus_and_clipping(self, both: Both) -> None:
        check(*both("ppo", DISCRETE, entropy_coef=0.0, max_grad_norm=None))

    @every_space
    def test_nothing_follows_a_minibatch_beyond_the_target(self, both: Both, space: Any) -> None:
        ours, theirs = both("ppo", space, target_kl=5e-3)
        check(ours, theirs)
        assert 0.0 < ours["policy/epochs"] < COMMON["epochs"]

    @pytest.mark.parametrize("rule", ["ppo", "ppo_penalty", "dual"])
    def test_nothing_to_gain_moves_nothing(self, both: Both, rule: str) -> None:
        _, theirs = both(rule, change=lambda a: 0.0 * a, entropy_coef=0.0)
        assert theirs.after.tobytes() == theirs.before.tobytes()
        assert theirs["policy/epochs"] == 1.0
        assert theirs["policy/skipped"]


class TestSeveralUpdates:
    @pytest.mark.parametrize("rule", ["ppo", "ppo_penalty"])
    def test_a_later_batch_finds_everything_in_place(self, both: Both, rule: str) -> None:
        """Other batches of other sizes, step sizes that change, a target that was met before."""
        rules = []
        settings = {**COMMON, "schedule": "adaptive"}
        if rule == "ppo":
            settings["target_kl"] = 5e-3
        policies = (make_policy(), on_tensors(make_policy()))
        for policy in policies:
            built = BUILD[rule](policy, **settings)
            generator = np.random.default_rng(0)
            rules.append((policy, built, generator))
        for seed, size in enumerate([64, 64, 100, 20, 64]):
            # One batch for both: actions are those of one policy.
            batch = make_batch(policies[0], seed=seed, size=size)
            rows = []
            for policy, built, generator in rules:
                arrays = {
                    name: policy.to_device(getattr(batch, name))
                    for name in ("observations", "actions", "advantages", "targets")
                }
                rows.append(built.update(policy, replace(batch, **arrays), generator, 1.0))
            assert rows[1]["policy/epochs"] == rows[0]["policy/epochs"]
            assert rows[1]["policy/learning_rate"] == rows[0]["policy/learning_rate"]
            # Step sizes are no powers of two any more: float32 rounds them by 3e-8 at most.
            np.testing.assert_allclose(
                policies[1].parameters.numpy(), policies[0].parameters, rtol=0, atol=1e-6
            )
        assert rules[0][2].bit_generator.state == rules[1][2].bit_generator.state


class TestImages:
    @pytest.mark.parametrize("keep", [0, 2**20], ids=["frames", "pixels"])
    def test_policy_and_value_in_one_network(
        self, monkeypatch: pytest.MonkeyPatch, keep: int
    ) -> None:
        """Images are gathered into the buffers, from single frames or from whole images.

        float32: Adam's 8 steps of 2^-6 keep its 24 bits up to a few of the last.
        """
        monkeypatch.setitem(conv.KEEP_BYTES, "cpu", keep)
        rng = np.random.default_rng(2)
        planes, index = rng.integers(0, 256, (9, 6, 5), dtype=np.uint8), rng.integers(0, 9, (40, 1))
        found = []
        for kinds in ((), ("cpu",)):
            monkeypatch.setattr(orders, "KINDS", kinds)
            policy = test_joint.make_policy()
            stacks = policy.to_device(FrameStacks(planes, index))
            assert isinstance(stacks, FrameStacks) == (keep == 0)
            batch = replace(test_joint.make_batch(policy), observations=stacks)
            rule = PPO(PPOConfig(**{**COMMON, "minibatch_size": 12, "epochs": 2}), policy, 0.7)
            start = policy.parameters.clone()
            rule.update(policy, batch, np.random.default_rng(0), 1.0)
            assert float((policy.parameters - start).abs().max()) > 0.01
            found.append(policy.parameters)
        torch.testing.assert_close(found[1], found[0], rtol=0, atol=2e-6)


class Asked(TorchDispatchMode):
    """The names of torch's operations, in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


FORBIDDEN = (
    "_local_scalar_dense", "nonzero", "aten.equal", "masked_select",  # the host reads
    "lift_fresh", "scalar_tensor", "aten.arange", "aten.index.", "aten.index_put",  # or writes
)  # fmt: skip
"""What a CUDA graph cannot hold, or what may hide a copy from the host."""


class TestNothingButKernels:
    """What a graph captures: the same operations for every minibatch, and no look at a number."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """The operations of each step on a minibatch."""
        steps: list[list[str]] = []
        monkeypatch.setattr(orders, "KINDS", ("cpu",))
        for owner in (DeviceEpochs, DeviceFit):
            step: Any = owner._step

            def listed(self: Any, *args: Any, step: Any = step) -> None:
                with Asked() as asked:
                    step(self, *args)
                steps.append(asked.names)

            monkeypatch.setattr(owner, "_step", listed)
        return steps

    @staticmethod
    def check(steps: list[list[str]]) -> None:
        assert len(steps) > 2
        assert all(step == steps[0] for step in steps)
        assert any("_fused_adam_" in name for name in steps[0])
        assert [name for name in steps[0] if any(word in name for word in FORBIDDEN)] == []

    @every_space
    @pytest.mark.parametrize("rule", ["ppo", "ppo_penalty"])
    def test_policies(self, asked: list[list[str]], space: Any, rule: str) -> None:
        policy = on_tensors(make_policy(space, layer_norm=True))
        target = {"target_kl": 0.01} if rule == "ppo" else {}
        settings = {**COMMON, **target, "minibatch_size": 16}
        Updated(policy, make_batch(policy), rule, 0, settings)
        self.check(asked)

    def test_images(self, asked: list[list[str]]) -> None:
        """The first step finds weights that have been converted; a capture, which follows a write,
        does not."""
        policy = test_joint.make_policy()
        rule = PPO(PPOConfig(**{**COMMON, "minibatch_size": 10}), policy, 0.7)
        rule.update(policy, test_joint.make_batch(policy), np.random.default_rng(0), 1.0)
        self.check(asked[1:])

    def test_fits(self, asked: list[list[str]]) -> None:
        network = TorchMLP(MLP([3, 8, 1]), "cpu")
        parameters = torch.randn(network.num_parameters, generator=torch.Generator().manual_seed(0))
        config = MLPValueConfig(minibatch_size=16, max_grad_norm=0.5)
        batch = make_batch(on_tensors(make_policy(dtype=np.float32)))
        Value(config, network, parameters).fit(
            batch.observations, batch.returns, np.random.default_rng(0), 1.0
        )
        self.check(asked)


class TestMinibatchSteps:
    def test_every_sample_once_in_the_given_order(self) -> None:
        seen: list[tuple[list[float], int]] = []
        steps = device_steps.MinibatchSteps(
            lambda samples, count: seen.append((samples[0][:, 0].tolist(), count)),
            [torch.zeros(1)],
            capturable=True,
        )
        order = np.array([3, 1, 4, 0, 2])
        for scale in (1.0, 10.0):
            samples = [scale * torch.arange(5.0)[:, None], torch.arange(5.0)]
            steps.epoch(samples, order, 2)
            assert seen == [
                ([scale * 3.0, scale * 1.0], 2), ([scale * 4.0, 0.0], 2), ([scale * 2.0], 1)
            ]  # fmt: skip
            seen.clear()

    def test_full_minibatches_lie_in_one_place(self) -> None:
        """What a captured step reads; a batch of another shape gets another place."""
        places: list[int] = []
        steps = device_steps.MinibatchSteps(
            lambda samples, count: places.append(samples[0].data_ptr()), [torch.zeros(1)], True
        )
        kept = [torch.randn(8, 3) for _ in range(2)]
        for x in kept:
            steps.epoch([x], np.arange(8), 4)
        assert len(places) == 4
        assert len(set(places)) == 1
        assert places[0] not in {x.data_ptr() for x in kept}
        steps.epoch([torch.randn(8, 200)], np.arange(8), 4)
        assert places[-1] != places[0]


class TestDrawOrder:
    def test_is_numpy_s_wherever_no_gpu_takes_steps_alone(self) -> None:
        for parameters in (np.zeros(2), torch.zeros(2)):
            order = draw_order(9, np.random.default_rng(3), parameters, WHOLE)
            np.testing.assert_array_equal(order, np.random.default_rng(3).permutation(9))
