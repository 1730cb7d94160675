"""The help text holds every setting of every dataclass, with its default, range and words."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from tests.support.cli_stub import Cli
from trpo_cli import __version__
from trpo_cli.commands.hydra.options import all_settings, type_words
from trpo_cli.config.schema import all_options
from trpo_cli.settings import range_text


def squeeze(text: str) -> str:
    return " ".join(text.split())


def test_every_setting_is_there(cli: Cli) -> None:
    text = squeeze(cli("--help=all").out)
    for setting in all_settings():
        if setting.key.endswith(".name"):
            continue  # chosen by group=option
        assert f" {setting.key}=" in text
        assert setting.field.metadata["help"] in text
        assert range_text(setting.field.metadata) in text


def test_every_group_and_option_is_there(cli: Cli) -> None:
    text = cli("--help=all").out
    for group, options in all_options().items():
        assert f"{group}={'|'.join(options)}" in text
    for word in ("trpo-eval", "+experiment=", "env=<any Gymnasium id>", "-m", "exit status"):
        assert word in text


def test_choosing_an_option_shows_only_its_keys(cli: Cli) -> None:
    text = cli("algo=ppo", "--help=all").out
    assert "algo.clip_range=0.2" in text and "algo.cg_iterations" not in text
    assert "policy=linear" in text


def test_an_environment_file_changes_the_defaults(cli: Cli) -> None:
    assert "discount=0.9999" in cli("env=Swimmer-v4", "--help=all").out
    assert "discount=0.99 " in cli("env=Foo-v0", "--help=all").out


def test_what_a_rule_sets_of_others_is_shown(cli: Cli) -> None:
    """The values that the run would use: ppo.yaml gives the value function more epochs."""
    ppo, trpo = (squeeze(cli(f"algo={rule}", "--help=all").out) for rule in ("ppo", "trpo"))
    assert " value.epochs=10 " in ppo and " value.schedule=cooldown " in ppo
    assert " value.epochs=5 " in trpo and " value.schedule=constant " in trpo
    assert " value.epochs=3 " in squeeze(cli("algo=ppo", "value.epochs=3", "--help=all").out)


def test_a_game_has_its_own_values(cli: Cli) -> None:
    text = squeeze(cli("algo=ppo", "env=ALE/Pong-v5", "--help=all").out)
    assert " total_steps=10000000 " in text and " sampler.num_envs=8 " in text
    assert "policy=auto" in text and "here it becomes nature_cnn" in text


@pytest.mark.parametrize(
    "words", ["", "algo=ppo", "algo=ppo env=ALE/Pong-v5", "sampler=vine", "algo=es", "env=Foo-v0"]
)
def test_help_is_one_screen(cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("--help", *words.split()).out.splitlines()
    assert len(lines) <= 55 and max(map(len, lines)) <= 80


def test_help_shows_the_values_of_this_combination(cli: Cli) -> None:
    """What a run would use: a section of a screen is `section.  name=value ...`."""
    text = squeeze(cli("--help", "algo=ppo", "env=ALE/Pong-v5").out)
    assert " total_steps=10000000 " in text and " sampler. num_envs=8 " in text
    assert " policy=auto here nature_cnn; " in text and " algo.clip_range=0.1 " in text
    assert " eval. every=0 episodes=10 " in text and "init_log_std" not in text
    text = squeeze(cli("--help", "algo=ppo", "env=CartPole-v1").out)
    assert " value. learning_rate=0.001 schedule=cooldown epochs=10 minibatch_size=256 " in text
    assert "init_log_std" not in text and "env.atari" not in text  # actions are discrete
    assert "init_log_std=-1" in cli("--help", "env=Pendulum-v1").out
    assert "algo.cg_iterations" not in cli("--help", "algo=ppo").out


def test_images_that_are_no_game_have_the_networks_for_images(cli: Cli) -> None:
    assert "here trpo_cnn" in cli("--help", "env=tests.support.odd_envs:Odd/Image-v0").out


@pytest.mark.parametrize("words", ["--help", "--help=all"])
def test_no_word_is_broken_in_a_narrow_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    wide = squeeze(cli(words).out)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = cli(words).out
    assert squeeze(narrow) == wide
    assert all(len(line.split()) == 1 for line in narrow.splitlines() if len(line) > 40)
    assert all(f"trpo-{name} " in wide for name in ("run", "eval", "compare", "tune", "lab"))


def test_a_summary_is_whole(cli: Cli) -> None:
    text = squeeze(cli("--help=all", "sampler=vine").out)
    assert "sampler=vine: Trunk trajectories" in text and "(TRPO paper, section 5.2)." in text


def test_a_mistake_is_told(cli: Cli) -> None:
    outcome = cli("algo=tpro", "--help")
    assert outcome.status == 2 and "Did you mean trpo?" in outcome.err


def test_every_type_has_words() -> None:
    assert all(type_words(s.type) != "a value" for s in all_settings())


def test_lines_fit_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, cli("--help=all").out.splitlines())) <= 100


COMMANDS = {"run": "run", "evaluate": "eval", "compare": "compare", "export": "export"}
COMMANDS |= {"tune": "tune", "lab": "lab"}


@pytest.mark.parametrize(("module", "name"), COMMANDS.items())
def test_every_command_tells_its_version_and_the_other_commands(
    module: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"trpo_cli.commands.{module}").main

    def said(option: str) -> str:
        try:
            assert main([option]) == 0
        except SystemExit as leaving:
            assert not leaving.code
        return capsys.readouterr().out

    assert said("--version") == f"trpo-{name} {__version__}\n"
    assert all(f"trpo-{other} " in squeeze(said("--help")) for other in COMMANDS.values())


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_imports_nothing_heavy_before_it_sets_the_threads(module: str) -> None:
    code = (
        f"import sys, trpo_cli.commands.{module}; "
        "print({'numpy', 'torch', 'hydra', 'gymnasium', 'mujoco'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
