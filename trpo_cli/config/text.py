"""config.yaml: a configuration as text, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trpo_cli.components import HOMES, load
from trpo_cli.config.checks import validate
from trpo_cli.config.schema import Config, to_config, top_schema
from trpo_cli.errors import UserError
from trpo_cli.settings import BEFORE
from trpo_cli.system.known import check_modules
from trpo_cli.untrusted import MAX_YAML, check_yaml

UNNAMED = {"advantage": "gae"}
"""What a section without a name is: files from when there was one option."""


def config_to_yaml(config: Config) -> str:
    """The text of a run's ``config.yaml``: every setting, nothing left to interpolate."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config)))


def read_config(path: Path, trusted: bool = False) -> Config:
    """`config_from_yaml` of a file."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_YAML + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    return config_from_yaml(text, str(path), trusted)


def config_from_yaml(text: str, source: str = "config.yaml", trusted: bool = False) -> Config:
    """The validated configuration back from its text; `source` is named in errors.

    trusted: whether it may name modules that no run of this user's has named.

    Raises `UserError` for text that is no configuration, for modules that nobody trusts, for keys
    that this version does not know and for wrong types or values. A component of somebody else's
    is imported.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        check_yaml(text)
        # Nothing is interpolated: a file must not get at the environment's variables.
        data: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
        if not isinstance(data, dict):
            raise UserError(f"{source} is not a configuration: it holds no settings.")
        for key, value in _texts(data, ""):
            if "${" in value:
                raise UserError(
                    f"{source}: {key} is {value}, and a run's configuration has nothing left to "
                    "fill in. Write the value itself."
                )
        if not trusted:
            check_modules(named_modules(data), source)
        blank = OmegaConf.structured(top_schema())
        for group in HOMES:
            kind = _option(group, data.get(group), source)
            blank[group] = OmegaConf.structured(kind)
            for field in dataclasses.fields(kind):
                if BEFORE in field.metadata:
                    blank[group][field.name] = field.metadata[BEFORE]
        config = to_config(OmegaConf.merge(blank, data))
    except (YAMLError, ValueError, OverflowError) as error:
        raise UserError(
            f"{source} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from None
    except OmegaConfBaseException as error:
        key = error.full_key or "a key"
        why = str(error.msg or error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{source}: {key} cannot be used: {why}. Was it written by another version of trpo_cli?"
        ) from None
    validate(config)
    return config


def named_modules(data: Any) -> list[str]:
    """The modules that a configuration, as nested dicts, would have imported: those of its
    environment (and of one that this one makes of an id among its arguments), its components, its
    wrappers and its trackers."""
    env = _section(data, "env")
    wrappers = env.get("wrappers")
    names: list[Any] = [env.get("id"), *(_section(data, group).get("name") for group in HOMES)]
    for entry in wrappers if isinstance(wrappers, list) else []:
        names += entry if isinstance(entry, dict) else [entry]
    names += [text for _, text in _texts(data.get("logger"), "")]
    names += [text for _, text in _texts(env.get("kwargs"), "")]
    return [name.rpartition(":")[0] for name in names if isinstance(name, str) and ":" in name]


def _section(data: Any, key: str) -> Any:
    section = data.get(key)
    return section if isinstance(section, dict) else {}


def _texts(data: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every text in nested data, with its dotted key."""
    if isinstance(data, str):
        yield key, data
    elif isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for name, value in items:
            yield from _texts(value, f"{key}.{name}".lstrip("."))


def _option(group: str, section: Any, source: str) -> Any:
    """The settings class that a section's ``name`` chooses."""
    name = section.get("name", UNNAMED.get(group)) if isinstance(section, dict) else None
    try:
        return load(group, str(name))
    except UserError as error:
        words = str(error).removeprefix(f"{group}={name}")
        raise UserError(f"{source}: {group}.name={name}{words}") from error
