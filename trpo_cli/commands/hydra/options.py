"""What can be said on the command line: the groups, their options and every dotted key.

Read from the dataclasses and the YAML files without Hydra, for the help text and for suggestions.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from trpo_cli.config import GROUPS, Config, conf_dir


def group_names() -> list[str]:
    """The configuration groups in the order of the fields of `Config`."""
    return [f.name for f in dataclasses.fields(Config) if f.name in GROUPS or f.name == "env"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key: where it is declared, its type in words' terms, and which option has it."""

    key: str
    field: dataclasses.Field[Any]
    type: Any
    default: Any
    option: tuple[str, str] | None  # (group, option name), None outside the groups


def settings_of(
    kind: type, prefix: str, option: tuple[str, str] | None = None
) -> Iterator[Setting]:
    """Every setting of one dataclass, nested plain sections included, groups left out."""
    types, instance = typing.get_type_hints(kind), kind()
    for field in dataclasses.fields(kind):
        value = getattr(instance, field.name)
        if field.name in GROUPS and kind is Config:
            continue
        if dataclasses.is_dataclass(value):
            yield from settings_of(type(value), f"{prefix}{field.name}.", option)
        else:
            yield Setting(prefix + field.name, field, types[field.name], value, option)


@functools.cache
def all_settings() -> list[Setting]:
    """Every key of every option of every group."""
    found = list(settings_of(Config, ""))
    for group, options in GROUPS.items():
        for name, kind in options.items():
            found.extend(settings_of(kind, group + ".", (group, name)))
    return found


def find_setting(key: str, chosen: Mapping[str, str] | None = None) -> Setting | None:
    """The declaration of a dotted key: the chosen option's, else that of any option that has it.

    chosen: group -> option; groups left out are at their defaults.
    """
    found = [s for s in all_settings() if s.key == key]
    choices = {**default_choices(), **(chosen or {})} if len(found) > 1 else {}
    ours = (s for s in found if s.option is None or choices.get(s.option[0]) == s.option[1])
    return next(ours, found[0] if found else None)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's content, empty when there is no such file."""
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


@functools.cache
def default_choices() -> dict[str, str]:
    """group -> option from the defaults list of conf/config.yaml."""
    entries = load_yaml(conf_dir() / "config.yaml")["defaults"]
    return {k: v for entry in entries if isinstance(entry, dict) for k, v in entry.items()}


def type_words(kind: Any) -> str:
    """A field's type as a person says it."""
    if kind is type(None):
        return "null"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if kind in names:
        return names[kind]
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is list:
        return f"a list such as [64,64], each {type_words(arguments[0])}"
    if origin is dict:
        return "a mapping such as {name: value}"
    if arguments:
        return " or ".join(type_words(a) for a in arguments)
    return "a value"
