"""What Tab offers on the command line of ``trpo-run``. Without Hydra: a press has to be quick."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from trpo_cli.commands.hydra.options import Setting, choices, known_settings
from trpo_cli.components import TUNED, file_names
from trpo_cli.config.schema import all_options, default_option

FLAGS = ("--help", "--help=all", "--multirun", "--quiet", "--watch", "--selftest", "--restorable",
         "--config-dir", "--cfg", "--info", "--trust", "--until-decided", "--max-seeds",
         "--max-hours", "--difference", "--error-rate", "--autotune", "--autotune-file",
         "--version")  # fmt: skip
FOLDERS = ("resume", "init", "hydra.run.dir", "hydra.sweep.dir")
"""Keys whose values are folders; so are the words behind these flags:"""
FOLDER_FLAGS = ("--watch", "--config-dir", "-cd")


def candidates(line: str) -> list[str]:
    """What the last word of a command line may become; it is empty behind a space."""
    *before, word = line.split(" ")
    words = [w for w in before[1:] if w]
    if words and words[-1] in FOLDER_FLAGS:
        return sorted(folders(word, last=words[-1] == "--watch"))
    if word.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(word)]
    key, equals, value = word.partition("=")
    chosen = choices(words)
    if not equals:
        return _keys(word, chosen)
    begun, comma, rest = value.rpartition(",")  # of a sweep, the last of several values
    head = f"{key}={begun}{comma}"
    if key in FOLDERS:
        return sorted(head + one for one in folders(rest, last=key in ("resume", "init")))
    return [head + v for v in _values(key.lstrip("+"), rest, chosen) if v.startswith(rest)]


def _keys(word: str, chosen: dict[str, str]) -> list[str]:
    """Groups and settings; sections first, their settings behind the dot."""
    plus, word = ("+", word[1:]) if word.startswith("+") else ("", word)
    names = {f"{group}=" for group in (*all_options(), "env", TUNED)}
    names |= {"experiment="} if plus else {f"{key}=" for key in FOLDERS}
    depth = word.count(".")
    for setting in _settings(chosen):
        parts = setting.key.split(".")
        names.add(
            setting.key + "=" if len(parts) == depth + 1 else ".".join(parts[: depth + 1]) + "."
        )
    return [plus + name for name in sorted(names) if name.startswith(word)]


def _settings(chosen: dict[str, str]) -> Iterator[Setting]:
    """Those that the options chosen have."""
    for setting in known_settings(chosen):
        group, name = setting.option or ("", "")
        if setting.key.rpartition(".")[2] == "name" or setting.key == "env.id":
            continue
        if not group or name == chosen.get(group, default_option(group)):
            yield setting


def _values(key: str, begun: str, chosen: dict[str, str]) -> Iterable[str]:
    if key == "env":
        return environments(begun)
    if key in ("experiment", TUNED):
        return file_names(key)
    if key in all_options():
        return list(all_options()[key])
    found = next((s for s in _settings(chosen) if s.key == key), None)
    if found is None:
        return []
    if allowed := found.field.metadata.get("choices"):
        return list(allowed)
    if bool in (found.type, *typing.get_args(found.type)):
        return ["true", "false"]
    return [] if found.default is None or found.default in ({}, []) else [_plain(found.default)]


def _plain(value: Any) -> str:
    return str(value).replace(" ", "")


def environments(begun: str) -> list[str]:
    """Ids that can be built here, as far as can be told without building them."""
    from trpo_cli.simulators.resolve import can_be_built, games

    atari = [f"ALE/{game}-v5" for game in games()]
    if begun.startswith("ALE/"):
        return atari
    import gymnasium

    ids = [name for name, spec in gymnasium.registry.items() if can_be_built(spec)]
    return [*sorted(ids), *(["ALE/"] if atari else [])]


def folders(begun: str, last: bool = False, ending: str = "") -> Iterator[str]:
    """Folders whose path goes on from what is begun. last: "last" may be meant too.

    ending: of files that may be meant too.
    """
    top, _, name = begun.rpartition("/")
    if last and "last".startswith(begun):
        yield "last"
    try:
        entries = list(os.scandir(f"{top}/" if "/" in begun else "."))
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not name.startswith(".")
        if not entry.name.startswith(name) or hidden or " " in entry.name:
            continue
        path = f"{top}{'/' if '/' in begun else ''}{entry.name}"
        if entry.is_dir():
            yield f"{path}/"
        elif ending and entry.name.endswith(ending):
            yield path
