"""Checks on override strings that need no composition: syntax, duplicates, deletions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from trpo_cli.commands.hydra.options import find_setting, group_names, type_words
from trpo_cli.config import GROUPS
from trpo_cli.errors import UserError
from trpo_cli.settings import suggestion

_FLOAT_INTEGER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?[eE]\+?\d+(?![\w.])")


def check_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra shall see them, after the mistakes that are visible in their text.

    A whole-number setting may be written 1e6: Hydra would call that a float and refuse it.
    """
    parser = OverridesParser.create()
    checked, seen = [], dict[str, str]()
    for text in map(_plain_colons, overrides):
        parsed = _parse(parser, text)
        key = parsed.key_or_group
        if parsed.is_delete() and not parsed.is_hydra_override():
            raise UserError(
                f"{text}: a setting cannot be removed. Give it a value instead, such as {key}=..."
            )
        if key in group_names():
            if key in seen:
                raise UserError(
                    f"{key} is given twice: {seen[key]} and {text}. Keep one of them"
                    f" (a sweep over both is written -m {key}=A,B)."
                )
            _check_choice(parsed, text)
        seen[key] = text
        checked.append(_whole_numbers(key, text))
    return checked


def _parse(parser: OverridesParser, text: str) -> Override:
    if "=" not in text and not text.startswith("~"):
        homes = [g for g, options in GROUPS.items() if text in options]
        hint = f" Did you mean {homes[0]}={text}?" if homes else " For example: algo=ppo."
        raise UserError(f"{text!r} has no '=': settings are written key=value.{hint}")
    if not text.partition("=")[0].strip("+~ "):
        raise UserError(f"{text!r} has nothing before the '=': settings are written key=value.")
    try:
        return parser.parse_override(text)
    except HydraException:
        key, _, value = text.partition("=")
        raise UserError(
            f"{text!r} cannot be read as key=value. A value with spaces or any of ,:={{}}[]()$'\""
            f" needs quotes inside the shell's own, such as '{key.strip()}=\"{value}\"'."
        ) from None


def _check_choice(parsed: Override, text: str) -> None:
    key = parsed.key_or_group
    if parsed.package is not None or parsed.is_add() or parsed.is_force_add():
        plain = text.lstrip("+")
        raise UserError(
            f"{text}: the group {key} has an option already; write {key}={plain.partition('=')[2]}."
        )
    if parsed.is_sweep_override():
        return
    value = parsed.value()
    if not isinstance(value, str) or not value:
        if key not in GROUPS:
            raise UserError(f"{text}: {key} wants a Gymnasium id such as Hopper-v4.")
        known = list(GROUPS[key])
        raise UserError(
            f"{text}: {key} wants one option, one of: {', '.join(known)}."
            + suggestion(str(value), known)
        )


def _whole_numbers(key: str, text: str) -> str:
    setting = find_setting(key)
    if setting is None or "a number" in type_words(setting.type):
        return text
    if "whole number" not in type_words(setting.type):
        return text
    name, _, value = text.partition("=")
    return f"{name}={_FLOAT_INTEGER.sub(_as_integer, value)}"


def _plain_colons(text: str) -> str:
    """[{module:Name:{...}}], as ``env.wrappers`` has it: Hydra wants the first colon escaped."""
    return re.sub(r"([{,]\s*[\w.]+):(\w+\s*:\s*\{)", r"\1\\:\2", text)


def _as_integer(match: re.Match[str]) -> str:
    number = float(match.group())
    return str(int(number)) if number.is_integer() and number < 2**53 else match.group()
