"""What a configuration sets otherwise than the defaults, whoever chose it."""

from __future__ import annotations

from typing import Any

from trpo_cli.components import HOMES, conf_dir, read_yaml, set_with
from trpo_cli.config.schema import Config
from trpo_cli.env_ids import is_game
from trpo_cli.settings import on_command_line, walk


def changed(config: Config) -> list[str]:
    """What a run learns with, as the command line takes it, where it is not what the components
    chosen have on any environment of its kind (a game, or none). config: with nothing left open."""
    usual: dict[str, Any] = {"discount": read_yaml(conf_dir() / "config.yaml")["discount"]}
    for group in HOMES:
        section = getattr(config, group)
        usual |= {key: value for key, _, value in walk(type(section)(), f"{group}.")}
    rule = f"algo/{config.algo.name}"
    also = {"value": set_with(conf_dir(), rule, f"value={config.value.name}")}
    if is_game(config.env.id):
        also |= set_with(conf_dir(), rule, "env=atari")
    for group, settings in also.items():
        if isinstance(settings, dict):
            usual |= {f"{group}.{key}": value for key, value in settings.items()}
    found = {key: value for key, _, value in walk(config)}
    others = [k for k, v in usual.items() if k in found and v not in (found[k], "auto")]
    return [f"{key}={on_command_line(found[key])}" for key in others]
