"""Hydra's and OmegaConf's errors in one paragraph: what, which key, which value, what to try."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from trpo_cli.commands.hydra.options import all_settings, find_setting, group_names, type_words
from trpo_cli.config import GROUPS, Config
from trpo_cli.errors import UserError
from trpo_cli.settings import range_text, suggestion

SECTIONS = {f.name for f in dataclasses.fields(Config) if f.default is dataclasses.MISSING}


def explain(error: BaseException, overrides: Sequence[str]) -> UserError:
    """The `UserError` that says what the person did, from an error of Hydra's or OmegaConf's."""
    text = str(error)
    values = {key.lstrip("+"): value for key, _, value in (o.partition("=") for o in overrides)}
    if found := re.search(r"Could not find '([^']+)/([^'/]*)'", text):
        return _unknown_option(found[1], found[2], text)
    if found := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(found[1], values.get(found[1]))
    if found := re.search(r"An item is already at '([^']+)'", text):
        key = found[1]
        return UserError(
            f"+{key}={values.get(key)}: {key} exists already; write {key}={values.get(key)}"
            " without the +."
        )
    if found := re.search(r"Error merging override \+*([^=\s]+)=(.*)", text):
        return _wrong_value(found[1], found[2], error, values)
    if found := re.search(r"Ambiguous value for argument '([^']+)'", text):
        key, _, value = found[1].partition("=")
        return UserError(
            f"{found[1]} gives several values. For a run with each add -m; a list is"
            f" written {key}=[{value}]."
        )
    if found := re.search(r"Sweep parameters '([^']+)'", text):
        return UserError(f"{found[1]} gives several values: add -m for a run with each.")
    if found := re.search(
        r"Sweeping over Hydra's configuration is not supported : '([^']+)'", text
    ):
        return UserError(f"{found[1]}: Hydra's own settings cannot be swept over.")
    if found := re.search(r"In '([^']+)': \w+ raised while composing config:\n(.*)", text):
        hint = ""
        if re.match(r"Key '\w+' not in 'Config'", found[2]):
            hint = " The first line of such a file is: # @package _global_"
        return UserError(f"conf/{found[1]}.yaml: {found[2]}{_full_key(text)}.{hint}")
    if isinstance(error, UnicodeDecodeError):
        chosen = " ".join(overrides) or "the defaults"
        return UserError(f"A YAML file chosen by {chosen} is not UTF-8 text: {text}.")
    for cause in _chain(error):
        key = getattr(cause, "full_key", None)
        if isinstance(cause, OmegaConfBaseException) and key:
            return _wrong_value(key, values.get(key), cause, values)
    return UserError(f"{_first_lines(text) or type(error).__name__}.")


def unknown_key(key: str, value: Any = None) -> UserError:
    """There is no such setting, or the option chosen for its group has it not."""
    shown = key if value is None else f"{key}={value}"
    if key in SECTIONS:
        return UserError(f"{shown}: {key} is a group of settings, set {key}.<name>=... instead.")
    owners = [s.option for s in all_settings() if s.key == key and s.option]
    if owners:
        homes = " or ".join("=".join(o) for o in owners if o)
        return UserError(
            f"{shown}: the {key.partition('.')[0]} chosen here has no such setting;"
            f" {key} belongs to {homes}."
        )
    parent, _, last = key.rpartition(".")
    if (setting := find_setting(parent)) and "mapping" in type_words(setting.type):
        return UserError(f"{shown}: to add {last} to {parent} write +{key}=... with a plus sign.")
    return UserError(f"{shown}: there is no setting {key}.{_closest(key)}")


def _closest(key: str) -> str:
    known = list(dict.fromkeys(s.key for s in all_settings()))
    last = key.rpartition(".")[2]
    same_name = [k for k in known if k.rpartition(".")[2] == last]
    if same_name:
        return f" Did you mean {' or '.join(same_name)}?"
    if hint := suggestion(key, known if "." in key else [*known, *group_names()]):
        return hint
    names = {k.rpartition(".")[2]: k for k in reversed(known)}
    close = difflib.get_close_matches(last, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {names[close[0]]}?"
    return " trpo-run --help lists them all."


def _unknown_option(group: str, option: str, text: str) -> UserError:
    known = list(GROUPS.get(group, ()))
    listed = text.partition("Available options in")[2].partition("\n")[2]
    lines = [line.strip() for line in listed.splitlines() if "=" not in line]
    known = known or [line for line in lines if line and ":" not in line]
    if not known:
        return UserError(f"{group}={option}: the group {group} has no options here.")
    return UserError(
        f"{group}={option} is not one of its options: {', '.join(known)}."
        + suggestion(option, known)
    )


def _wrong_value(
    key: str, value: Any, error: BaseException, chosen: Mapping[str, str]
) -> UserError:
    setting = find_setting(key, chosen)
    if setting is None and key in SECTIONS:
        return unknown_key(key, value)
    if setting is None:
        why = _first_lines(_root(error)).replace(": '$VALUE'", "")
        if "is not Optional" in why or "$VALUE_TYPE" in why:  # OmegaConf's own templates
            why = "it cannot take that value"
        return UserError(f"{key}={value}: {why}.")
    if value is None:  # it comes from a file
        return UserError(f"{key}: {_first_lines(_root(error))}.")
    allowed = range_text(setting.field.metadata)
    wanted = type_words(setting.type) + (f", {allowed}" if allowed else "")
    return UserError(
        f"{key}={value} has the wrong type: {wanted} is wanted"
        f" ({setting.field.metadata.get('help', key)})."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _root(error: BaseException) -> str:
    return str(list(_chain(error))[-1])


def _full_key(text: str) -> str:
    found = re.search(r"full_key: (\S+)", text)
    return f" (key {found[1]})" if found else ""


def _first_lines(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    keep = [line for line in lines if not line.startswith(("full_key", "object_type"))]
    return " ".join(keep[:3]).rstrip(".")
