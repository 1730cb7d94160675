"""What can be said on the command line: the groups, their options and every dotted key.

Read from the dataclasses and the YAML files without Hydra, for the help text, for suggestions and
for the checks before a composition.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trpo_cli.components import HOMES, TUNED, load
from trpo_cli.config.schema import Config, all_options, default_option


def group_names() -> list[str]:
    """The configuration groups in the order of the fields of `Config`; the last has none."""
    own = [f.name for f in dataclasses.fields(Config) if f.name in HOMES or f.name == "env"]
    return [*own, TUNED]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key: where it is declared, its type, its default, and which option has it."""

    key: str
    field: dataclasses.Field[Any]
    type: Any
    default: Any
    option: tuple[str, str] | None  # (group, option name), None outside the groups


def settings_of(kind: Any, prefix: str, option: tuple[str, str] | None = None) -> Iterator[Setting]:
    """Every setting of one dataclass, nested plain sections included, groups left out."""
    types, instance = typing.get_type_hints(kind), kind()
    for field in dataclasses.fields(kind):
        value = getattr(instance, field.name)
        if field.name in HOMES and kind is Config:
            continue
        if dataclasses.is_dataclass(value):
            yield from settings_of(type(value), f"{prefix}{field.name}.", option)
        else:
            yield Setting(prefix + field.name, field, types[field.name], value, option)


def settings_of_option(group: str, name: str) -> Iterator[Setting]:
    """The settings that one component takes; of `auto`, those of the option that stands for it."""
    kind = load(group, name)
    shown = getattr(kind.traits, "shown", None)
    taken = load(group, shown) if shown else kind
    yield from settings_of(taken, f"{group}.", (group, name))


@functools.cache
def all_settings() -> tuple[Setting, ...]:
    """Every key of every built-in option of every group."""
    found = list(settings_of(Config, ""))
    for group, options in all_options().items():
        for name in options:
            found.extend(settings_of_option(group, name))
    return tuple(found)


def known_settings(chosen: Mapping[str, str]) -> list[Setting]:
    """The same, and those of other people's components among the chosen ones."""
    foreign = [(g, name) for g, name in chosen.items() if g in HOMES and ":" in name]
    return [*all_settings(), *(s for one in foreign for s in settings_of_option(*one))]


def find_setting(key: str, chosen: Mapping[str, str] | None = None) -> Setting | None:
    """The declaration of a dotted key: the chosen option's, else that of any option that has it.

    chosen: group -> option; groups left out are at their defaults.
    """
    chosen = chosen or {}
    found = [s for s in known_settings(chosen) if s.key == key]
    for setting in found:
        if setting.option is None:
            return setting
        group, name = setting.option
        if chosen.get(group, default_option(group)) == name:
            return setting
    return found[0] if found else None


def choices(overrides: Sequence[str]) -> dict[str, str]:
    """group -> option, as far as override strings choose one (several, in a sweep, are none)."""
    pairs = (text.lstrip("+").partition("=")[::2] for text in overrides)
    return {key: value for key, value in pairs if key in group_names() and "," not in value}


def type_words(kind: Any) -> str:
    """A field's type as a person says it."""
    if kind is type(None):
        return "null"
    if kind is Any:  # Hydra has no unions with lists
        return "a word or a list such as [A,B]"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if kind in names:
        return names[kind]
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is list and arguments == (Any,):
        return "a list such as [A,B]"
    if origin is list:
        return f"a list such as [64,64], each {type_words(arguments[0])}"
    if origin is dict:
        return "a mapping such as {name: value}"
    if arguments:
        return " or ".join(type_words(a) for a in arguments)
    return "a value"
