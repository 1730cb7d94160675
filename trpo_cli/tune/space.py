"""A search space: which settings to try, and within which bounds.

A YAML file with one entry per setting, named as on the command line of ``trpo-run``:

    algo.learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}
    algo.epochs: {low: 1, high: 20}              # whole numbers, since both bounds are
    policy.activation: [tanh, relu]              # any values, lists and null among them
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.settings import on_command_line, suggestion
from trpo_cli.untrusted import parse_yaml

SPACES = Path(__file__).parent / "spaces"
"""Spaces that come with the programme, one per update rule."""


@dataclass(frozen=True)
class Interval:
    """low <= x <= high. log: drawn on a logarithmic scale; whole: whole numbers only."""

    key: str
    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, trial: Any) -> Any:
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def ends(self) -> list[Any]:
        """Values that a configuration must accept for it to accept all."""
        kind = int if self.whole else float
        return [kind(self.low), kind(self.high)]


@dataclass(frozen=True)
class Choice:
    """One of some values, kept as text: they have no order."""

    key: str
    values: tuple[str, ...]

    def draw(self, trial: Any) -> Any:
        return trial.suggest_categorical(self.key, list(self.values))

    def ends(self) -> list[Any]:
        return list(self.values)


Dimension = Interval | Choice


def override(key: str, value: Any) -> str:
    """A setting as an override: floats in full, so that it means the same number again."""
    return f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}"


def draw(space: list[Dimension], trial: Any) -> dict[str, Any]:
    """Key -> value of one trial; trial: Optuna's."""
    return {dimension.key: dimension.draw(trial) for dimension in space}


def find_space(given: str | None, algo: str) -> Path:
    """The file that the person names, or ours for the update rule."""
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise UserError(f"--space {given}: there is no such file.")
        return path
    path = SPACES / f"{algo}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SPACES.glob("*.yaml")))
        raise UserError(
            f"algo={algo} has no search space of its own (those with one: {known}); give one with "
            "--space FILE. trpo-tune --help shows what such a file looks like."
        )
    return path


def content_of(text: str, source: str) -> Any:
    """What a file of settings holds. Raises `UserError`, which names `source`, for what is no
    YAML."""
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{source} cannot be read as YAML: {error}") from None


def parse_space(text: str, source: str) -> list[Dimension]:
    """The dimensions that a file's text names; `source` is named in errors."""
    content = content_of(text, source)
    if not isinstance(content, Mapping) or not content:
        raise UserError(
            f"{source} names no settings; a line of it reads "
            "algo.learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}."
        )
    return [_dimension(str(key), value, source) for key, value in content.items()]


def without(text: str, keys: Collection[str]) -> str:
    """The text of one of our spaces, which have a line for each setting, without some of them."""
    lines = [line for line in text.splitlines() if line.partition(":")[0] not in keys]
    return "\n".join(lines) + "\n"


def _dimension(key: str, given: Any, source: str) -> Dimension:
    if isinstance(given, list):
        if len(given) < 2:
            raise UserError(f"{source}: {key} has one value or none; there is nothing to choose.")
        return Choice(key, tuple(on_command_line(value) for value in given))
    if not isinstance(given, Mapping):
        raise UserError(
            f"{source}: {key}: {given} is no range of values. Write {{low: ..., high: ...}}, with "
            "log: true for a logarithmic scale, or a list of values."
        )
    known = ("low", "high", "log")
    for name in given:
        if name not in known:
            raise UserError(
                f"{source}: {key} has an entry {name}; a range has low, high and log."
                + suggestion(str(name), known)
            )
    low, high = (_number(given.get(name), f"{source}: {key}.{name}") for name in ("low", "high"))
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{source}: {key}.log={log} must be true or false.")
    if not low < high:
        raise UserError(f"{source}: {key} has low={low} and high={high}; low must be smaller.")
    if log and low <= 0:
        raise UserError(f"{source}: {key}.low={low} must be above 0 on a logarithmic scale.")
    return Interval(key, low, high, log, isinstance(low, int) and isinstance(high, int))


def _number(value: Any, name: str) -> float:
    if isinstance(value, str):  # YAML 1.1 takes 1e-3 for a word
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{name}={value} must be a number.")
    return value
