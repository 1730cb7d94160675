"""What anybody may have written: JSON and YAML read within bounds, words and cells made harmless.

A run or sweep directory, a search space and a table of published numbers may come from a stranger.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

MAX_YAML = 1 << 20
"""Characters of a YAML file. A configuration has some thousands."""
MAX_DEPTH = 32
"""Levels of lists and mappings in one. A configuration has five."""
FORMULA = re.compile(r"[=+\-@\t\r]")
"""How a cell begins that a spreadsheet computes."""


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError for what is no JSON, and for what Python cannot hold: nested a thousand
    levels deep, a number of thousands of digits. NaN and Infinity are no JSON either."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def parse_yaml(text: str | bytes) -> Any:
    """The value that a YAML text describes, of plain types only.

    Raises ValueError for what is no YAML, and for what `check_yaml` refuses.
    """
    import yaml

    check_yaml(text)
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def check_yaml(text: str | bytes) -> None:
    """Raise ValueError for YAML that is larger than a file of ours, nested deeper, or has an alias:
    a few lines of those stand for billions of values, or for a list that holds itself."""
    import yaml

    if len(text) > MAX_YAML:
        raise ValueError(f"it has {len(text):,} characters, and at most {MAX_YAML:,} are read")
    depth = 0
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise ValueError(f"it has an alias, *{event.anchor}, on line {line}")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def printable(text: str) -> str:
    """Text for a terminal or a file: control characters, escapes and what turns the direction of
    writing are shown as their codes; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _code(c) for c in text)


def _code(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def harmless(value: Any) -> Any:
    """Data from a file with each of its texts and names `printable` and on one line."""
    if isinstance(value, str):
        return printable(value).replace("\n", "\\n")
    if isinstance(value, list):
        return [harmless(item) for item in value]
    if isinstance(value, dict):
        return {harmless(key): harmless(item) for key, item in value.items()}
    return value


def markdown(text: str) -> str:
    """Text that stays text in Markdown, also in a cell of a table."""
    return re.sub(r"([\\|<\[`])", r"\\\1", text)


def spreadsheet(text: str) -> str:
    """Text as a cell of a CSV file: a spreadsheet shows it, and computes nothing of it."""
    return f"'{text}" if FORMULA.match(text) and not _numbers(text) else text


def _numbers(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool([float(word) for word in text.split(" ")])
    return False
