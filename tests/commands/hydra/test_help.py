"""The help text holds every setting of every dataclass, with its default, range and words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli_stub import Cli
from trpo_cli.commands.hydra import help as help_module
from trpo_cli.commands.hydra.options import all_settings, type_words
from trpo_cli.config import GROUPS, conf_dir
from trpo_cli.settings import range_text


def squeeze(text: str) -> str:
    return " ".join(text.split())


def test_every_setting_is_there(cli: Cli) -> None:
    text = squeeze(cli("--help").out)
    for setting in all_settings():
        if setting.key.endswith(".name"):
            continue  # chosen by group=option
        assert f" {setting.key}=" in text
        assert setting.field.metadata["help"] in text
        assert range_text(setting.field.metadata) in text


def test_every_group_and_option_is_there(cli: Cli) -> None:
    text = cli("-h").out
    for group, options in GROUPS.items():
        assert f"{group}={'|'.join(options)}" in text
    for word in ("trpo-eval", "+experiment=", "env=<any Gymnasium id>", "-m", "exit status"):
        assert word in text


def test_choosing_an_option_shows_only_its_keys(cli: Cli) -> None:
    text = cli("algo=ppo", "--help").out
    assert "algo.clip_range=0.2" in text and "algo.cg_iterations" not in text
    assert "policy=linear" in text


def test_an_environment_file_changes_the_defaults(cli: Cli) -> None:
    assert "discount=0.9999" in cli("env=Swimmer-v4", "--help").out
    assert "discount=0.99 " in cli("env=Foo-v0", "--help").out


def test_tuned_values_are_the_defaults_shown(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("config.yaml", "algo/trpo.yaml"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_text((conf_dir() / name).read_text())
    (tmp_path / "algo" / "ppo.yaml").write_text(
        "# @package _global_\nalgo:\n  clip_range: 0.3\nvalue:\n  epochs: 7\n"
    )
    monkeypatch.setattr(help_module, "conf_dir", lambda: tmp_path)
    text = cli("--help").out
    assert "algo.clip_range=0.3" in text and "also sets value.epochs=7" in text


def test_every_type_has_words() -> None:
    assert all(type_words(s.type) != "a value" for s in all_settings())


def test_lines_fit_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, cli("--help").out.splitlines())) <= 100
