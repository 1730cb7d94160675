"""Candidates as configurations: what each one makes of the defaults, and whether it can run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra

from trpo_cli.commands.hydra.compose import compose
from trpo_cli.commands.launch import check_surroundings
from trpo_cli.commands.search_space import refuse_given
from trpo_cli.components import HOMES, TUNED
from trpo_cli.config import Config
from trpo_cli.config.schema import is_auto
from trpo_cli.errors import UserError
from trpo_cli.settings import on_command_line
from trpo_cli.tune.candidates import parse_candidates
from trpo_cli.tune.space import override

SHARED = ("seed", "total_steps", "resume", "eval", "hydra")
"""Keys and sections that have to be the same for trials to be compared."""
TASK = ("env", "env.id")
FILES = ("experiment", TUNED)


def read_candidates(hydra: Hydra, overrides: Sequence[str], given: str) -> list[dict[str, str]]:
    """The candidates of a file, each with a value for every key that any of them has: its own, or
    what stands there without.

    Raises `UserError` naming the file, the candidate and the key that does not fit.
    """
    path = Path(given)
    if not path.is_file():
        raise UserError(f"--candidates {given}: there is no such file.")
    named = parse_candidates(path.read_text(encoding="utf-8"), given)
    keys = list(dict.fromkeys(key for one in named for key in one))
    for key in keys:
        refuse_given(key, overrides, given)
        section = re.split(r"[./]", key.lstrip("+"))[0]
        if section in SHARED or key in TASK:
            raise UserError(f"{given}: {key} has to be the same for all candidates. Leave it out.")
        if section in FILES:
            raise UserError(f"{given}: {key} names a file of settings. Write those that differ.")
    found = list[dict[str, str]]()
    for number, one in enumerate(named, start=1):
        words = [*overrides, *(override(key, text) for key, text in one.items())]
        try:
            config, _ = compose(hydra, words)
            settled = check_surroundings(config, words).config
            whole = {key: _text(key, config, settled) for key in keys}
        except UserError as error:
            raise UserError(f"{given}: candidate {number}: {error}") from error
        if whole in found:
            raise UserError(
                f"{given}: candidates {found.index(whole) + 1} and {number} are the same "
                f"({', '.join(override(*pair) for pair in whole.items()) or 'the defaults'}). "
                "Leave one of them out."
            )
        found.append(whole)
    return found


def _text(key: str, config: Config, settled: Config) -> str:
    """What a key stands at. settled: with every `auto` decided, which a section that is open has
    its settings from."""
    value = _value(config, key)
    if value is None:
        value = _value(settled, key)
    if value is None:
        raise UserError(
            f"it has no {key}, as another candidate has. Name what all candidates have, or run "
            "two searches."
        )
    return on_command_line(value[0])


def _value(config: Any, key: str) -> tuple[Any] | None:
    """In a tuple; None where there is no such key."""
    if key in HOMES:
        return (getattr(config, key).name,)
    for name in key.split("."):
        if is_auto(config):
            config = config.given
        values = config if isinstance(config, dict) else vars(config)
        if name not in values:
            return None
        config = values[name]
    return (config,)
