"""Fields of the configuration: type, range and help text in one place.

A configuration is a tree of plain dataclasses whose fields are made by `setting`. The same
declaration is Hydra's schema, the text of ``--help`` and the range check, so none can drift from
the others. Nothing heavy is imported here: ``--help`` pays for the standard library only.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trpo_cli.errors import UserError

CONTINUOUS = "continuous actions"
"""The condition of a setting that nothing reads where the environment's actions are discrete."""
SHARED_STD = "shared deviation"
"""The condition of a setting of the log standard deviation that all states share."""
WHOLE = 2**63
"""Whole numbers lie below: arrays and files have no room for larger ones."""
IN_FILE: Any = object()
"""The default stands in a YAML file (see `components`)."""
BEFORE = "before"
"""In a field's metadata: what runs had that do not know the setting, where that is no default."""
ALSO_CALLED = {
    "gamma": "discount",
    "lr": "algo.learning_rate",
    "step_size": "algo.learning_rate",
    "lam": "advantage.gae_lambda",
    "lambda": "advantage.gae_lambda",
    "delta": "algo.max_kl",
    "cg_iters": "algo.cg_iterations",
    "batch_size": "algo.minibatch_size",
    "n_epochs": "algo.epochs",
    "ent_coef": "algo.entropy_coef",
    "vf_coef": "value.coef",
    "n_envs": "sampler.num_envs",
    "n_steps": "sampler.steps_per_env",
    "horizon": "sampler.steps_per_env",
    "net_arch": "policy.hidden_sizes",
    "hidden_size": "policy.hidden_sizes",
    "steps": "total_steps",
    "timesteps": "total_steps",
    "total_timesteps": "total_steps",
    "env_id": "env",
    "env_name": "env",
    "algorithm": "algo",
    "agent": "algo",
    "reinforce": "vpg",
    "log_dir": "hydra.run.dir",
    "logdir": "hydra.run.dir",
    "output_dir": "hydra.run.dir",
    "run_dir": "hydra.run.dir",
    "run_name": "hydra.run.dir",
    "exp_name": "hydra.run.dir",
    "name": "hydra.run.dir",
    "gpu": "cuda",
}
"""Words of other programs and of the papers, and what they are called here."""


def setting(
    default: Any = IN_FILE,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] | None = None,
    when: str | None = None,
    before: Any = IN_FILE,
) -> Any:
    """A dataclass field with its help text and its range.

    Parameters
    ----------
    default: the value when nothing is said; a list or dict is copied for each instance. What is
        built in leaves it to its YAML file.
    help: one line, units included, as ``--help`` prints it.
    low, high: inclusive bounds; above, below: exclusive ones. For lists they hold per element.
    choices: the allowed words of a string setting.
    when: the choice without which nothing reads the setting: ``key=value`` (or ``key=a|b``, or
        ``key!=value``) of the same section or, with a dot, of another one; ``section.trait`` or
        ``not section.trait`` of a component; `CONTINUOUS` or `SHARED_STD`.
    before: what a run does that is older than the setting, where that is not the default: its
        config.yaml does not say it.
    """
    metadata = {
        "in_file": default is IN_FILE,
        "when": when,
        "help": help,
        "low": low,
        "high": high,
        "above": above,
        "below": below,
        "choices": tuple(choices) if choices else None,
    }
    if before is not IN_FILE:
        metadata[BEFORE] = before
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def walk(config: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Every leaf setting below a configuration as (dotted key, field, value)."""
    for field in dataclasses.fields(config):
        value, key = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from walk(value, key + ".")
        else:
            yield key, field, value


def range_text(metadata: Any) -> str:
    """The allowed values of a setting in words, empty when anything goes."""
    if metadata.get("choices"):
        return "one of " + ", ".join(metadata["choices"])
    words = [
        f"{word} {metadata[name]:g}"
        for name, word in (("low", ">="), ("above", ">"), ("high", "<="), ("below", "<"))
        if metadata.get(name) is not None
    ]
    return " and ".join(words)


def check_ranges(config: Any, prefix: str = "") -> None:
    """Raise `UserError` for the first setting outside its declared range."""
    for key, field, value in walk(config, prefix):
        items = value if isinstance(value, list) else [value]
        shown = f"[{','.join(map(str, items))}]" if isinstance(value, list) else value
        for item in items:
            _check(f"{key}={shown}", field.metadata, item, "each" if items is value else "it")


def _check(said: str, metadata: Any, value: Any, what: str) -> None:
    """said: the setting as it is written on a command line; what: the value, or each of a list."""
    choices = metadata.get("choices")
    if choices and value is not None and value not in choices:
        raise UserError(
            f"{said} is not one of its values: {', '.join(choices)}."
            + suggestion(str(value), choices)
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    bounds = {name: metadata.get(name) for name in ("low", "high", "above", "below")}
    inside = (
        (abs(value) < WHOLE if isinstance(value, int) else math.isfinite(value))
        and (bounds["low"] is None or value >= bounds["low"])
        and (bounds["high"] is None or value <= bounds["high"])
        and (bounds["above"] is None or value > bounds["above"])
        and (bounds["below"] is None or value < bounds["below"])
    )
    if not inside:
        allowed = range_text(metadata) or "finite"
        if isinstance(value, int) and abs(value) >= WHOLE:
            allowed, said = "below 2^63", textwrap.shorten(said, 60)
        raise UserError(f"{said} is out of range: {what} must be {allowed}.")


def suggestion(word: str, known: Sequence[str]) -> str:
    """' Did you mean X?' for the closest of the known words, or nothing."""
    if (here := ALSO_CALLED.get(word.casefold())) in known:
        return f" Did you mean {here}?"
    folded = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    return f" Did you mean {folded[close[0]]}?" if close else ""


def as_typed(value: Any) -> str:
    """A value as a person writes it on the command line."""
    return on_command_line(value, lambda x: f"{x:g}" if float(f"{x:g}") == x else repr(x))


def on_command_line(value: Any, number: Callable[[float], str] = repr) -> str:
    """A value as the command line takes it. number: how a float is written."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(on_command_line(v, number) for v in value) + "]"
    return number(value) if isinstance(value, float) else str(value)
