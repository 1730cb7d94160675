"""Checks on override strings before Hydra sees them: syntax, names, types.

The list of settings knows what there is, so most mistakes are told in its words, and few of Hydra's
errors have to be understood (`explain`).
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException

from trpo_cli.commands.hydra.options import (
    Setting,
    all_settings,
    choices,
    find_setting,
    group_names,
    known_settings,
    type_words,
)
from trpo_cli.components import HOMES, conf_dir, file_names
from trpo_cli.config.schema import all_options, default_option
from trpo_cli.errors import UserError
from trpo_cli.settings import ALSO_CALLED, range_text, suggestion
from trpo_cli.sweeps.last import only_run

_FLOAT_INTEGER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?[eE]\+?\d+(?![\w.])")


def check_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra shall see them, after the mistakes that are visible in their text.

    A whole-number setting may be written 1e6: Hydra would call that a float and refuse it.
    """
    parser = OverridesParser.create()
    checked, chosen = [], choices(overrides)
    for text in map(_plain_colons, overrides):
        parsed = _parse(parser, text)
        key = parsed.key_or_group
        if parsed.is_delete() and not parsed.is_hydra_override():
            raise UserError(
                f"{text}: a setting cannot be removed. Give it a value instead, such as {key}=..."
            )
        if key in group_names():
            _check_choice(parsed, text)
        if key == "init":
            text = f"init={','.join(map(_found, _values(parsed)))}"
        setting = find_setting(key, chosen)
        if text[0] in "+~" or not _takes_any_name(key, chosen):
            checked.append(text if setting is None else _whole_numbers(setting, text))
        else:
            checked.append(f"++{text}")  # Hydra would ask for the plus signs
    return checked


def _values(parsed: Override) -> list[str | None]:
    """The texts that are given to a setting: one, or those of a sweep."""
    value: Any = parsed.value()
    given = value.list if isinstance(value, ChoiceSweep) else [value]
    texts = [v.text if isinstance(v, QuotedString) else v for v in given]
    return [None if v is None else str(v) for v in texts]


def _found(init: str | None) -> str:
    """A run as a value of ``init``: `last` is looked up before a new folder is the last one, and
    another working directory finds it as well."""
    if init is None:
        return "null"
    if not init:
        raise UserError("init= needs a run directory: the folder that trpo-run printed.")
    folder = str(only_run(init, f"init={init}").absolute())
    return folder if re.fullmatch(r"[\w./+-]+", folder) else quoted(folder)


def check_settings(overrides: Sequence[str], is_group: Any) -> list[str]:
    """Check the overrides of one run against the list of settings; returns the keys of settings.

    is_group: whether Hydra knows a group of that name (an experiment, a person's own).
    """
    parser, chosen, keys = OverridesParser.create(), choices(overrides), []
    for text in overrides:
        parsed = parser.parse_override(text)
        key = parsed.key_or_group
        if parsed.is_hydra_override() or key in group_names():
            if parsed.is_sweep_override() and key in group_names():
                raise _several(text, key)
            continue
        if parsed.is_sweep_override():
            raise _several(text, key)
        setting = find_setting(key, chosen)
        if setting is None:
            if not is_group(key) and not _takes_any_name(key, chosen):
                raise unknown_key(key, text.partition("=")[2], chosen)
            continue
        adds = parsed.is_add() and not parsed.is_force_add()
        if adds and "mapping" not in type_words(setting.type):
            plain = text.lstrip("+")
            raise UserError(f"{text}: {key} exists already; write {plain} without the +.")
        _check_type(setting, parsed, text)
        keys.append(key)
    return keys


def unknown_key(key: str, value: Any = None, chosen: Mapping[str, str] | None = None) -> UserError:
    """There is no such setting, or the option chosen for its group has it not."""
    chosen = chosen or {}
    shown = key if value is None else f"{key}={value}"
    if key in (*HOMES, "env", "eval", "checkpoint"):
        return UserError(f"{shown}: {key} is a group of settings, set {key}.<name>=... instead.")
    if key.isidentifier() and (conf_dir() / key).is_dir():
        return UserError(f"{shown}: write +{shown}, with a plus sign: it adds to the defaults.")
    owners = [s.option for s in known_settings(chosen) if s.key == key and s.option]
    if owners:
        homes = " or ".join("=".join(o) for o in owners if o and o[1] != "auto")
        return UserError(
            f"{shown}: the {key.partition('.')[0]} chosen here has no such setting;"
            f" {key} belongs to {homes}."
        )
    return UserError(f"{shown}: there is no setting {key}.{_closest(key, chosen)}")


def wrong_value(setting: Setting, value: Any) -> UserError:
    """A value of another type than the setting's."""
    metadata = setting.field.metadata
    allowed = range_text(metadata)
    wanted = type_words(setting.type) + (f", {allowed}" if allowed else "")
    hint = ""
    if short := re.fullmatch(r"(\d[\d.]*)([kKmM])", str(value)):
        hint = f" Did you mean {short[1]}e{3 if short[2] in 'kK' else 6}?"
    return UserError(
        f"{setting.key}={value} has the wrong type: {wanted} is wanted"
        f" ({metadata.get('help', setting.key)}).{hint}"
    )


def _closest(key: str, chosen: Mapping[str, str]) -> str:
    known = list(dict.fromkeys(s.key for s in known_settings(chosen)))
    last = key.rpartition(".")[2]
    if word := next(iter(difflib.get_close_matches(last, ALSO_CALLED, 1, 0.85)), None):
        return _named_otherwise(ALSO_CALLED[word], chosen)
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


def _named_otherwise(key: str, chosen: Mapping[str, str]) -> str:
    """What a word of other programs is called here, and what has it where the choice has not."""
    owners = [s.option for s in all_settings() if s.key == key and s.option]
    group = key.partition(".")[0]
    if not owners or chosen.get(group, default_option(group)) in {name for _, name in owners}:
        return f" Did you mean {key}?"
    names = ", ".join("=".join(owner) for owner in owners)
    return f" Did you mean {key}? It belongs to {names}."


def _several(text: str, key: str) -> UserError:
    value = text.partition("=")[2]
    if re.fullmatch(r"\d{1,3}(,\d{3})+", value):
        return UserError(f"{text}: write {key}={value.replace(',', '')}, without commas.")
    return UserError(
        f"{text} gives several values. For a run with each add -m; a list is written"
        f" {key}=[{value}]."
    )


def _takes_any_name(key: str, chosen: Mapping[str, str]) -> bool:
    """Whether a key is a setting that is a mapping, such as env.kwargs, or an entry of one."""
    parts = key.split(".")
    found = (find_setting(".".join(parts[: n + 1]), chosen) for n in range(len(parts)))
    return any(one is not None and "mapping" in type_words(one.type) for one in found)


def _check_type(setting: Setting, parsed: Override, text: str) -> None:
    """Let OmegaConf try the value on the field alone."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    value, raw = parsed.value(), text.partition("=")[2]
    if "${" in raw:
        return  # it stands for something that only the whole configuration knows
    alone = dataclasses.make_dataclass("Alone", [("value", setting.type, "???")])
    try:
        OmegaConf.structured(alone).value = value
    except OmegaConfBaseException as error:
        raise wrong_value(setting, raw) from error
    except OverflowError:  # a whole number of hundreds of digits
        raise UserError(
            f"{setting.key}={raw[:20]}... has {len(raw):,} characters, too many for a number."
        ) from None


def _parse(parser: OverridesParser, text: str) -> Override:
    if "=" not in text and not text.startswith("~"):
        homes = [g for g, options in all_options().items() if text in options]
        hint = f" Did you mean {homes[0]}={text}?" if homes else " For example: algo=ppo."
        if text in ("help", "version"):
            hint = f" Did you mean --{text}?"
        raise UserError(f"{text!r} has no '=': settings are written key=value.{hint}")
    if not text.partition("=")[0].strip("+~ "):
        raise UserError(f"{text!r} has nothing before the '=': settings are written key=value.")
    try:
        return parser.parse_override(text)
    except ValueError:  # the one that Python raises for thousands of digits
        key, _, value = text.partition("=")
        raise UserError(
            f"{key}={value[:20]}... has {len(value):,} characters, too many for a number."
        ) from None
    except HydraException:
        key, _, value = text.partition("=")
        if key != key.strip() or value != value.strip():
            words = f"{key.strip()}={value.strip()}"
            raise UserError(
                f"{text!r}: no spaces may stand around the '='; write {words}."
            ) from None
        if value.endswith(","):
            raise UserError(f"{text}: there is nothing behind the last comma.") from None
        if odd := next((letter for letter in text if not letter.isascii()), ""):
            name = f"U+{ord(odd):04X}, {unicodedata.name(odd, 'a character without a name')}"
            raise UserError(
                f"{text!r} has a character that no setting has, {odd!r} ({name}). "
                "Type the word anew if it was copied; a value with that character needs quotes "
                "inside the shell's own."
            ) from None
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
        if key == "env":
            raise UserError(f"{text}: {key} wants a Gymnasium id such as Hopper-v4.")
        known = list(all_options()[key]) if key in HOMES else file_names(key)
        raise UserError(
            f"{text}: {key} wants one option, one of: {', '.join(known)}."
            + suggestion(str(value), known)
        )


def _whole_numbers(setting: Setting, text: str) -> str:
    words = type_words(setting.type)
    if "a number" in words or "whole number" not in words:
        return text
    name, _, value = text.partition("=")
    return f"{name}={_FLOAT_INTEGER.sub(_as_integer, value)}"


def _plain_colons(text: str) -> str:
    """[{module:Name:{...}}], as ``env.wrappers`` has it: Hydra wants the first colon escaped."""
    return re.sub(r"([{,]\s*[\w.]+):(\w+\s*:\s*\{)", r"\1\\:\2", text)


def _as_integer(match: re.Match[str]) -> str:
    number = float(match.group())
    return str(int(number)) if number.is_integer() and number < 2**53 else match.group()


def quoted(text: str) -> str:
    """Text as a value of Hydra's: in quotes, with backslashes in front of quotes only."""
    inner = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), text)
    return f"'{inner}'"
