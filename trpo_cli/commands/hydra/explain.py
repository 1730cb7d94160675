"""Hydra's and OmegaConf's errors in one paragraph: what, which key, which value, what to try.

`overrides` has told most mistakes before. What is left comes from files, from interpolations, and
from options that the composition alone knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from trpo_cli.commands.hydra.options import choices, find_setting
from trpo_cli.commands.hydra.overrides import unknown_key, wrong_value
from trpo_cli.components import HOMES
from trpo_cli.config.schema import all_options
from trpo_cli.errors import UserError
from trpo_cli.settings import suggestion


def explain(error: BaseException, overrides: Sequence[str]) -> UserError:
    """The `UserError` that says what the person did, from an error of Hydra's or OmegaConf's."""
    text, chosen = str(error), choices(overrides)
    values = {key.lstrip("+"): value for key, _, value in (o.partition("=") for o in overrides)}
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(found[1], values.get(found[1]), chosen)
    if found := re.search(r"In '([^']+)': \w+ raised while composing config:\n(.*)", text):
        hint = ""
        if re.match(r"Key '\w+' not in 'Config'", found[2]):
            hint = " The first line of such a file is: # @package _global_"
        key = next((c.full_key for c in _chain(error) if getattr(c, "full_key", None)), None)
        where = f" (key {key})" if key else ""
        return UserError(f"conf/{found[1]}.yaml: {found[2]}{where}.{hint}")
    if isinstance(error, UnicodeDecodeError):
        files = " ".join(overrides) or "the defaults"
        return UserError(f"A YAML file chosen by {files} is not UTF-8 text: {text}.")
    for cause in _chain(error):
        key = getattr(cause, "full_key", None)
        if isinstance(cause, OmegaConfBaseException) and key:
            return _wrong_value(str(key), values, cause, chosen)
    return UserError(f"{_first_lines(text) or type(error).__name__}.")


def _unknown_option(error: MissingConfigException) -> UserError:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    known = list(all_options()[group]) if group in HOMES else list(error.options or ())
    if not known:
        return UserError(f"{group}={option}: the group {group} has no options here.")
    own = f" One of your own is written {group}=module:Class." if group in HOMES else ""
    return UserError(
        f"{group}={option} is not one of its options: {', '.join(known)}."
        + (suggestion(option, known) or own)
    )


def _wrong_value(
    key: str, values: Mapping[str, str], error: BaseException, chosen: Mapping[str, str]
) -> UserError:
    setting, value = find_setting(key, chosen), values.get(key)
    if setting is not None and value is not None:
        return wrong_value(setting, value)
    why = _first_lines(str(list(_chain(error))[-1])).replace(": '$VALUE'", "")
    if setting is None and ("is not Optional" in why or "$VALUE_TYPE" in why):
        why = "it cannot take that value"  # instead of OmegaConf's own templates
    return UserError(f"{key}: {why}." if value is None else f"{key}={value}: {why}.")


def _chain(error: BaseException) -> Iterator[Any]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _first_lines(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    keep = [line for line in lines if not line.startswith(("full_key", "object_type"))]
    return " ".join(keep[:3]).rstrip(".")
