"""What `auto` becomes, and which networks are refused for which environments."""

from __future__ import annotations

import dataclasses
import functools
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import Config, config_from_yaml, config_to_yaml
from trpo_cli.config import settle as settle_module
from trpo_cli.config.settle import choose_device, settle
from trpo_cli.errors import UserError
from trpo_cli.models.policies.linear import LinearPolicyConfig
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.models.policies.nature_cnn import NatureCNNPolicyConfig
from trpo_cli.models.policies.trpo_cnn import TRPOCNNPolicyConfig
from trpo_cli.models.values.cnn import CNNValueConfig
from trpo_cli.models.values.mlp import MLPValueConfig
from trpo_cli.models.values.shared import SharedValueConfig
from trpo_cli.simulators.make import is_emulated
from trpo_cli.training.build import prepare

GAME, VECTOR, CAMERA = "ALE/Pong-v5", "CartPole-v1", "CarRacing-v3"


@pytest.fixture(autouse=True)
def slow_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle_module, "has_fast_bfloat16", lambda: False)


composed = functools.cache(config_of)


def settled(*overrides: str, images: bool = True) -> Config:
    config = composed(*overrides)
    return settle(config, images, emulated=is_emulated(config.env))


class TestChoice:
    @pytest.mark.parametrize(
        ("algo", "policy", "value"),
        [
            ("vpg", "nature_cnn", "shared"),
            ("ppo", "nature_cnn", "shared"),
            ("ppo_penalty", "nature_cnn", "shared"),
            ("dual", "nature_cnn", "shared"),
            ("npg", "trpo_cnn", "cnn"),
            ("trpo", "trpo_cnn", "cnn"),
        ],
    )
    def test_of_both(self, algo: str, policy: str, value: str) -> None:
        config = settled(f"algo={algo}", f"env={GAME}")
        assert (config.policy.name, config.value.name) == (policy, value)
        config = settled(f"algo={algo}", f"env={VECTOR}", images=False)
        assert (config.policy.name, config.value.name) == ("mlp", "mlp")

    @pytest.mark.parametrize(("algo", "value"), [("ppo", "shared"), ("trpo", "cnn")])
    def test_of_the_value_follows_the_policy(self, algo: str, value: str) -> None:
        """Images may be given to an MLP, by name."""
        for policy in ("nature_cnn", "trpo_cnn"):
            config = settled(f"algo={algo}", f"env={GAME}", f"policy={policy}")
            assert (config.policy.name, config.value.name) == (policy, value)
        for policy in ("mlp", "linear"):
            config = settled(f"algo={algo}", f"env={GAME}", f"policy={policy}")
            assert (config.policy.name, config.value.name) == (policy, "mlp")

    @pytest.mark.parametrize("algo", ["ppo", "trpo"])
    @pytest.mark.parametrize("value", ["shared", "cnn"])
    def test_a_value_by_name_stays(self, algo: str, value: str) -> None:
        config = settled(f"algo={algo}", f"env={GAME}", f"value={value}")
        assert config.value.name == value

    @pytest.mark.parametrize(("env", "images"), [(GAME, True), (CAMERA, True), (VECTOR, False)])
    @pytest.mark.parametrize("algo", ["ppo", "trpo"])
    def test_is_made_once(self, algo: str, env: str, images: bool) -> None:
        """What a run writes into its config.yaml is read back and left alone."""
        config = settled(f"algo={algo}", f"env={env}", images=images)
        assert "auto" not in (config.policy.name, config.value.name)
        assert getattr(config.policy, "precision", "") != "auto"
        again = config_from_yaml(config_to_yaml(config))
        assert settle(again, images) == again == config

    def test_leaves_its_argument_alone(self) -> None:
        config = composed(f"env={GAME}")
        copy = dataclasses.replace(config, env=dataclasses.replace(config.env))
        settle(config, True)
        assert config == copy


class TestSettings:
    def test_those_given_go_to_whatever_is_chosen(self) -> None:
        said = ["policy.output_gain=0.5", "policy.activation=relu", "policy.actions=clip"]
        for images in (True, False):
            policy = settled("env=Pendulum-v1", *said, images=images).policy
            assert (policy.output_gain, policy.activation, policy.actions) == (0.5, "relu", "clip")
        value = settled(f"env={GAME}", "value.epochs=3", "value.learning_rate=0.01").value
        assert (value.name, value.epochs, value.learning_rate) == ("cnn", 3, 0.01)

    def test_null_is_given_too(self) -> None:
        """For every algorithm, with settings tuned for it or not."""
        for algo in ("trpo", "npg"):
            value = settled(f"algo={algo}", f"env={GAME}", "value.minibatch_size=null").value
            assert value.minibatch_size is None
        config = settled("algo=ppo", f"env={VECTOR}", "value.minibatch_size=null", images=False)
        assert config.value.minibatch_size is None

    def test_without_any_the_networks_are_at_their_defaults(self) -> None:
        config = settled("algo=trpo", f"env={GAME}")
        assert config.policy == TRPOCNNPolicyConfig(precision="float32")
        assert config.value == CNNValueConfig()
        config = settled("algo=trpo", f"env={VECTOR}", images=False)
        assert (config.policy, config.value) == (MLPPolicyConfig(), MLPValueConfig())

    def test_what_a_rule_sets_for_an_mlp_is_nobodys_wish_for_others(self) -> None:
        """PPO's file sets the epochs of an MLP, which a shared network has none of."""
        for algo in ("algo=ppo", "algo=ppo_penalty", "algo=dual"):
            assert settled(algo, f"env={GAME}").value == SharedValueConfig()
            value = settled(algo, f"env={VECTOR}", images=False).value
            assert (value.epochs, value.minibatch_size, value.schedule) == (10, 256, "cooldown")
            named = composed(algo, f"env={VECTOR}", "value=mlp").value
            assert (named.epochs, named.minibatch_size, named.schedule) == (10, 256, "cooldown")
        assert composed("algo=ppo", f"env={GAME}", "value=cnn").value.epochs == 3

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ("policy.hidden_sizes=[32]", "policy=mlp"),
            ("policy.normalize_observations=false", "policy=trpo_cnn"),
            ("value.hidden_sizes=[32]", "value=cnn"),
        ],
    )
    def test_those_that_the_choice_has_not_are_refused(self, setting: str, words: str) -> None:
        with pytest.raises(UserError) as caught:
            settled("algo=trpo", f"env={GAME}", setting)
        text = str(caught.value)
        assert setting.partition("=")[0] in text and words in text and "\n" not in text

    def test_epochs_for_a_value_fitted_by_ppo_itself(self) -> None:
        with pytest.raises(UserError, match=r"value\.epochs=3.*value=shared"):
            settled("algo=ppo", f"env={GAME}", "value.epochs=3")


class TestRefusals:
    @pytest.mark.parametrize(
        ("overrides", "images", "words"),
        [
            (["env=Hopper-v4", "policy=nature_cnn"], False, ["policy=nature_cnn", "env=Hopper-v4"]),
            (["env=Hopper-v4", "policy=trpo_cnn"], False, ["policy=trpo_cnn", "policy=mlp"]),
            (["env=Hopper-v4", "value=cnn"], False, ["value=cnn", "policy=mlp", "value=mlp"]),
            (["env=Hopper-v4", "value=shared"], False, ["value=shared", "value=mlp"]),
            ([f"env={GAME}", "value=mlp"], True, ["value=mlp", "policy=trpo_cnn", "value=cnn"]),
            ([f"env={GAME}", "value=quadratic"], True, ["value=quadratic cannot", "value=cnn"]),
            ([f"env={GAME}", "value=cnn", "policy=linear"], True, ["value=cnn", "policy=linear"]),
        ],
    )
    def test_names_the_key_and_what_to_try(
        self, overrides: list[str], images: bool, words: list[str]
    ) -> None:
        with pytest.raises(UserError) as caught:
            settled(*overrides, images=images)
        text = str(caught.value)
        assert all(word in text for word in words) and "\n" not in text and text.endswith(".")

    def test_a_high_stack_of_small_frames_looks_like_colours(self) -> None:
        config = composed(f"env={GAME}", "env.atari.frame_stack=50")
        with pytest.raises(UserError, match=r"env\.atari\.frame_stack=50.*52 x 40"):
            prepare(config)

    def test_a_high_stack_of_large_frames_is_a_stack(self) -> None:
        config = settled(f"env={GAME}", "algo=ppo", "env.atari.frame_stack=64")
        assert config.env.atari.frame_stack == 64


class TestFrames:
    def sizes(self, *overrides: str) -> tuple[Any, Any]:
        atari = settled(*overrides).env.atari
        return atari.frame_height, atari.frame_width

    def test_a_quarter_of_the_screen_for_the_papers_network(self) -> None:
        assert self.sizes("algo=trpo", f"env={GAME}") == (52, 40)
        assert self.sizes("algo=ppo", f"env={GAME}", "policy=trpo_cnn") == (52, 40)

    def test_not_for_others(self) -> None:
        assert self.sizes("algo=ppo", f"env={GAME}") == (None, None)
        assert self.sizes("algo=trpo", f"env={GAME}", "policy=nature_cnn") == (None, None)
        assert self.sizes("algo=trpo", f"env={GAME}", "policy=mlp") == (None, None)

    def test_not_where_a_size_is_given(self) -> None:
        given = "env.atari.frame_height=100"
        assert self.sizes("algo=trpo", f"env={GAME}", given) == (100, None)
        given = "env.atari.frame_width=84"
        assert self.sizes("algo=trpo", f"env={GAME}", given) == (None, 84)

    def test_not_for_images_of_another_kind(self) -> None:
        """Their settings must stay as they are: environments without them refuse others."""
        assert self.sizes("algo=trpo", f"env={CAMERA}") == (None, None)
        colours = "+env.kwargs.obs_type=rgb"
        assert self.sizes("algo=trpo", f"env={GAME}", colours) == (None, None)


class TestPrecision:
    @pytest.mark.parametrize("fast", [True, False])
    @pytest.mark.parametrize("algo", ["vpg", "ppo", "npg", "trpo"])
    def test_follows_the_processor_and_the_algorithm(
        self, monkeypatch: pytest.MonkeyPatch, algo: str, fast: bool
    ) -> None:
        """Trust regions solve for a direction: they keep all digits."""
        monkeypatch.setattr(settle_module, "has_fast_bfloat16", lambda: fast)
        rough = fast and algo in ("vpg", "ppo")
        for policy in ([], ["policy=nature_cnn"]):
            config = settled(f"algo={algo}", f"env={GAME}", *policy)
            assert config.policy.precision == ("bfloat16" if rough else "float32")

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_a_persons_choice_stays(self, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
        said = ["policy=trpo_cnn", f"policy.precision={precision}"]
        for fast in (True, False):
            monkeypatch.setattr(settle_module, "has_fast_bfloat16", lambda fast=fast: fast)
            for algo in ("ppo", "trpo"):
                config = settled(f"algo={algo}", f"env={GAME}", *said)
                assert config.policy.precision == precision


class TestEvaluation:
    @pytest.mark.parametrize(("images", "episodes"), [(True, 10), (False, 20)])
    def test_images_are_evaluated_on_fewer_episodes(self, images: bool, episodes: int) -> None:
        env = f"env={GAME if images else VECTOR}"
        assert settled(env, images=images).eval.episodes == episodes
        for said in (0, 3):
            assert settled(env, f"eval.episodes={said}", images=images).eval.episodes == said


class TestDevice:
    def test_as_asked(self) -> None:
        for policy in (MLPPolicyConfig(), NatureCNNPolicyConfig()):
            for device in ("cpu", "cuda"):
                assert choose_device(device, policy) == (device, "as asked")

    @pytest.mark.parametrize("usable", [True, False])
    def test_auto(self, monkeypatch: pytest.MonkeyPatch, usable: bool) -> None:
        torch: Any = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: usable))
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setattr(settle_module, "has_nvidia_driver", lambda: True)
        device, why = choose_device("auto", TRPOCNNPolicyConfig())
        assert device == ("cuda" if usable else "cpu")
        assert why == ("a GPU is faster with convolutions" if usable else "there is no usable GPU")
        policies: list[Any] = [MLPPolicyConfig(), LinearPolicyConfig()]
        for policy in policies:
            device, why = choose_device("auto", policy)
            assert device == "cpu" and policy.name in why
