"""Composition, the checks across groups, and config.yaml's way there and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from omegaconf import OmegaConf

from trpo_cli.algos.trpo import TRPOConfig
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.components import conf_dir, set_with
from trpo_cli.config import Config, config_from_yaml, config_to_yaml, validate
from trpo_cli.config.schema import all_options
from trpo_cli.errors import UserError
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.samplers.single_path import SinglePathConfig
from trpo_cli.settings import check_ranges, setting, suggestion

WITHOUT_VALUE = {"value": "none", "advantage": "total_return"}
# Options that go with few others: what else has to be said.
COMPANIONS = {
    ("algo", "es"): {"sampler": "perturbations", **WITHOUT_VALUE},
    ("sampler", "perturbations"): {"algo": "es", **WITHOUT_VALUE},
    ("value", "none"): {"advantage": "reward_to_go"},
}


ATARI = "env=atari"


class TestComposition:
    @pytest.mark.parametrize(
        "env_id",
        [
            "Hopper-v4",
            "CartPole-v1",
            "ALE/Pong-v5",
            "my_package:MyEnv-v0",
            "my_package.envs:Deep/My-Env-v12",
        ],
    )
    def test_any_id_without_a_file(self, env_id: str) -> None:
        assert config_of(f"env={env_id}").env.id == env_id

    def test_a_file_of_that_name_wins(self) -> None:
        config = config_of("env=Swimmer-v5")
        assert (config.env.id, config.discount) == ("Swimmer-v5", 0.9999)

    def test_it_may_set_what_belongs_to_one_advantage(self) -> None:
        config: Any = config_of("env=Swimmer-v5")
        assert config.advantage.gae_lambda == 0.98
        other: Any = config_of("env=Swimmer-v5", "advantage=value_baseline")
        assert not hasattr(other.advantage, "gae_lambda") and other.discount == 0.9999

    def test_the_command_line_wins_over_files(self) -> None:
        assert config_of("env=Swimmer-v5", "discount=0.9").discount == 0.9
        config: Any = config_of("env=Swimmer-v5", "advantage.gae_lambda=0.9")
        assert config.advantage.gae_lambda == 0.9

    @pytest.mark.parametrize(
        "algo",
        [
            name
            for name in all_options()["algo"]
            if set_with(conf_dir(), f"algo/{name}", "env=atari")
        ],
    )
    def test_atari_games_have_presets(self, algo: str) -> None:
        """What the rule's file has under with: env=atari, whatever the game; others without."""
        preset: Any = set_with(conf_dir(), f"algo/{algo}", ATARI)
        for env_id in ("ALE/Pong-v5", "BreakoutNoFrameskip-v4", "ale_py:ALE/Qbert-v5"):
            config = config_of(f"algo={algo}", f"env={env_id}")
            assert config.env.id == env_id
            assert config.total_steps == preset["total_steps"] == 10_000_000
            for section in ("sampler", "algo"):
                for key, value in preset[section].items():
                    assert getattr(getattr(config, section), key) == value
        plain = config_of(f"algo={algo}", "env=CartPole-v1")
        assert plain == dataclasses.replace(
            config_of(f"algo={algo}"), env=dataclasses.replace(plain.env, id="CartPole-v1")
        )
        assert (plain.total_steps, plain.sampler) == (1_000_000, SinglePathConfig())

    def test_ppo_on_a_game_is_the_papers(self) -> None:
        """Table 5 of Schulman et al. 2017: 8 actors, horizon 128, 4 epochs of 32 x 8 samples,
        clip 0.1, step size 2.5e-4, all falling to zero; entropy 0.01."""
        config = config_of("algo=ppo", "env=ALE/Pong-v5")
        assert (config.sampler.num_envs, config.sampler.steps_per_env) == (8, 128)
        algo = config.algo
        assert (algo.clip_range, algo.epochs, algo.minibatch_size) == (0.1, 4, 32 * 8)
        assert (algo.learning_rate, algo.schedule, algo.entropy_coef) == (2.5e-4, "linear", 0.01)

    def test_the_command_line_wins_over_presets(self) -> None:
        for order in (1, -1):
            said = ["env=ALE/Pong-v5", "algo=ppo", "sampler.num_envs=3", "algo.clip_range=0.3"]
            config = config_of(*said[::order], "total_steps=5000")
            assert (config.sampler.num_envs, config.algo.clip_range) == (3, 0.3)
            assert (config.total_steps, config.sampler.steps_per_env) == (5000, 128)

    @pytest.mark.parametrize(
        ("group", "name"), [(g, name) for g, options in all_options().items() for name in options]
    )
    def test_every_option_has_a_file(self, group: str, name: str) -> None:
        others = [f"{g}={n}" for g, n in COMPANIONS.get((group, name), {}).items()]
        part: Any = getattr(config_of(f"{group}={name}", *others), group)
        assert part.name == name and type(part) is all_options()[group][name]

    def test_nested_parts_are_the_dataclasses_themselves(self) -> None:
        config = config_of("policy=mlp", "policy.hidden_sizes=[8,8]")
        assert type(config) is Config and type(config.policy.hidden_sizes) is list
        assert type(config.env.kwargs) is dict

    def test_what_changes_nothing_is_told_as_it_was_written(self) -> None:
        with pytest.raises(UserError, match=r"recompute_advantages=true would change nothing"):
            config_of("algo=ppo", "algo.epochs=1", "algo.recompute_advantages=true")


class TestRoundTrip:
    @pytest.mark.parametrize("algo", all_options()["algo"])
    def test_text_and_back(self, algo: str) -> None:
        config = config_of(f"algo={algo}", "env=Foo-v0", "+env.kwargs.a={b:[1,null]}", "seed=3")
        assert config_from_yaml(config_to_yaml(config)) == config

    def test_defaults_without_composition(self) -> None:
        assert config_from_yaml(config_to_yaml(Config())) == Config()

    @pytest.mark.parametrize(
        ("words", "key", "had"),
        [
            (("policy=mlp",), "policy.min_log_std", None),
            (("algo=npg", "env=ALE/Pong-v5"), "algo.entropy_coef", 0.0),
            (("sampler=vine",), "sampler.use_trunk", False),
        ],
    )
    def test_a_run_that_is_older_than_a_setting(self, words: Any, key: str, had: Any) -> None:
        """It goes on as it was, and not with what became the default."""
        config = config_of("env=Hopper-v4", *words)
        section, _, name = key.partition(".")
        assert getattr(getattr(config, section), name) != had
        data = dataclasses.asdict(config)
        del data[section][name]
        again = config_from_yaml(OmegaConf.to_yaml(data))
        assert getattr(getattr(again, section), name) == had
        setattr(getattr(again, section), name, getattr(getattr(config, section), name))
        assert again == config

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"newer": 1}, ["newer", "another version"]),
            ({"seed": "x"}, ["seed"]),
            ({"discount": 2.0}, ["discount=2.0", "<= 1"]),
            ({"algo": {"name": "tpro"}}, ["algo.name=tpro", "trpo"]),
            ({"algo": {"name": "trpo", "newer": 1}}, ["algo.newer"]),
            ({"algo": 3}, ["algo.name"]),
        ],
    )
    def test_what_this_version_cannot_use(self, change: dict[str, Any], words: list[str]) -> None:
        data = {**dataclasses.asdict(Config()), **change}
        with pytest.raises(UserError) as caught:
            config_from_yaml(OmegaConf.to_yaml(data), "runs/config.yaml")
        for word in words:
            assert word in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "just words", "seed: ${nothing}"])
    def test_text_that_is_no_configuration(self, text: str) -> None:
        with pytest.raises(UserError, match=r"runs/config\.yaml"):
            config_from_yaml(text, "runs/config.yaml")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("kwargs: {a: '${oc.env:HOME}'}", r"env.kwargs.a is \$\{oc.env:HOME\}"),
            ("kwargs: {a: [{b: '${seed}'}]}", r"env.kwargs.a.0.b is \$\{seed\}"),
            ("kwargs: &x {a: *x}", "an alias"),
            ("kwargs: " + 40 * "[" + 40 * "]", "nested deeper"),
            ("kwargs: {a: " + "x" * 2**20 + "}", "at most"),
        ],
    )
    def test_a_file_from_a_stranger(self, monkeypatch, change: str, words: str) -> None:
        """Nothing is filled in from this machine, and nothing grows while it is read."""
        monkeypatch.setenv("HOME", "a secret")
        text = config_to_yaml(Config()).replace("kwargs: {}", change)
        with pytest.raises(UserError, match=words) as caught:
            config_from_yaml(text, "runs/config.yaml")
        assert "a secret" not in str(caught.value)

    def test_a_number_of_hundreds_of_digits(self) -> None:
        text = config_to_yaml(Config()).replace("discount: 0.99", "discount: " + "9" * 400)
        with pytest.raises(UserError, match="too large"):
            config_from_yaml(text, "runs/config.yaml")


class TestChecks:
    def test_defaults_of_every_option_are_valid(self) -> None:
        for group, options in all_options().items():
            for name, kind in options.items():
                others = COMPANIONS.get((group, name), {})
                parts = {g: all_options()[g][n]() for g, n in others.items()}
                validate(dataclasses.replace(Config(), **{group: kind()}, **parts))

    def test_evaluations_need_episodes(self) -> None:
        config = Config()
        config.eval.every, config.eval.episodes = 1000, 0
        with pytest.raises(UserError, match=r"eval\.every=1000.*eval\.episodes=0"):
            validate(config)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
    def test_numbers_must_be_inside_and_finite(self, value: float) -> None:
        algo: Any = TRPOConfig(max_kl=value)
        config = Config(algo=algo)
        with pytest.raises(UserError, match=r"algo\.max_kl"):
            check_ranges(config)

    def test_defaults_are_not_shared_between_instances(self) -> None:
        first, second = Config(), Config()
        first.env.kwargs["a"] = 1
        first.sampler.num_envs = 3
        MLPPolicyConfig().hidden_sizes.append(3)
        assert MLPPolicyConfig().hidden_sizes == [64, 64]
        assert second == Config()

    def test_suggestions_ignore_case(self) -> None:
        assert suggestion("hopper-V4", ["Hopper-v4", "Ant-v4"]) == " Did you mean Hopper-v4?"
        assert suggestion("zzz", ["Hopper-v4"]) == ""

    def test_every_setting_has_help(self) -> None:
        assert setting(1, "words").metadata["help"] == "words"
