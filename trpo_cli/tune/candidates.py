"""Settings to try by name instead of drawing them: a YAML list with an entry for each candidate.

- {}                                           # the defaults
- algo.learning_rate: 1.0e-3
- {algo.learning_rate: 1.0e-3, algo.epochs: 4}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trpo_cli.errors import UserError
from trpo_cli.settings import on_command_line
from trpo_cli.tune.space import Choice, Dimension, content_of

EXAMPLE = "an entry reads - {algo.learning_rate: 1.0e-3, algo.epochs: 4}, or - {} for the defaults."


def parse_candidates(text: str, source: str) -> list[dict[str, str]]:
    """Key -> value as the command line takes it, of each entry of a file's text; `source` is named
    in errors."""
    content = content_of(text, source)
    if not isinstance(content, list) or not content:
        raise UserError(f"{source} is no list of candidates; {EXAMPLE}")
    return [_candidate(given, f"{source}: candidate {n}") for n, given in enumerate(content, 1)]


def _candidate(given: object, source: str) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise UserError(f"{source} is {given}, not a mapping of settings; {EXAMPLE}")
    for key, value in given.items():
        if isinstance(value, Mapping):
            raise UserError(
                f"{source}: {key} has a mapping for its value. Write one entry for each setting: "
                f"{key}.{next(iter(value), 'name')}: value."
            )
    return {str(key): on_command_line(value) for key, value in given.items()}


def choices_of(candidates: Sequence[Mapping[str, str]]) -> list[Dimension]:
    """The space that they span: of each key the values that any of them has. All have all keys."""
    return [
        Choice(key, tuple(dict.fromkeys(one[key] for one in candidates))) for key in candidates[0]
    ]
