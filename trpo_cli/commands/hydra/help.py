"""The text of ``trpo-run --help``: the settings, with the values that a command line gives them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trpo_cli.commands import arguments
from trpo_cli.commands.hydra.help_words import EXAMPLES, OPTIONS, SHORT, USAGE
from trpo_cli.commands.hydra.options import Setting, choices, settings_of
from trpo_cli.components import TUNED, conf_dir, file_names, load, set_with
from trpo_cli.config import Config
from trpo_cli.config.checks import is_read
from trpo_cli.config.schema import all_options, default_option
from trpo_cli.config.settle import settle
from trpo_cli.env_ids import is_game
from trpo_cli.errors import UserError
from trpo_cli.settings import as_typed, range_text, walk
from trpo_cli.terminal.display import columns, fitted

WIDEST = 110
"""Columns: longer lines are hard to read."""


def help_text(overrides: Sequence[str], config_dir: str | None = None, every: bool = False) -> str:
    """What this command line would run, on one screen; or every setting of every option.

    Raises `UserError` for a command line that could not run.
    """
    from trpo_cli.commands.hydra.compose import compose, start_hydra

    config = compose(start_hydra(config_dir), overrides)[0]
    config, continuous = looked_at(config, overrides)
    values = {key: value for key, _, value in walk(config)}
    if every:
        return "\n\n".join(_everything(config, values, choices(overrides)))
    return "\n\n".join(_screen(config, values, choices(overrides), continuous))


def looked_at(config: Config, overrides: Sequence[str]) -> tuple[Config, bool]:
    """The configuration with every `auto` decided, and whether actions are continuous.

    An environment that the command line names is looked at where that is cheap; MuJoCo's, whose
    library takes longer to import than all the rest, are known.
    """
    game = is_game(config.env.id)
    if game or "env" not in choices(overrides):
        return settle(config, game, emulated=game), not game
    from trpo_cli.simulators.resolve import check_env, mujoco_class

    try:
        if not mujoco_class(check_env(config.env)):
            from trpo_cli.training.build import prepare

            prepared = prepare(config)
            continuous = type(prepared.simulator.action_space).__name__ == "Box"
            return prepared.config, continuous
    except UserError:  # told when it is run
        pass
    return settle(config, images=False), True


# One screen ---------------------------------------------------------------------------------------


def _screen(
    config: Config, values: Mapping[str, Any], chosen: Mapping[str, str], continuous: bool
) -> Iterator[str]:
    width = min(columns(), WIDEST)
    yield fitted(USAGE, width)
    yield fitted("\n".join(["groups", *_choices(config, chosen)]), width)
    rule = config.algo
    own = [s for s in settings_of(type(rule), "algo.") if s.key != "algo.name"]
    lines = [f"algo={rule.name}: {_summary(type(rule))}"]
    for setting in own:
        if is_read(config, setting.key, continuous):
            lines += _line(setting, values[setting.key], with_range=False, indent=30)
    yield "\n".join(_wrapped(lines[0], width) + lines[1:])
    yield "\n".join(["other settings", *_others(config, continuous, width)])
    yield fitted(f"{SHORT}\n{arguments.SEE_ALSO}", width)


LATER = ("debug", "resume", "logger", "env.id", "env.workers", "env.vector")
"""What a screen shows elsewhere, or leaves to ``--help=all``."""


def _others(config: Config, continuous: bool, width: int) -> Iterator[str]:
    """What is set outside the update rule and read here, a paragraph for each section."""
    sections: dict[str, list[str]] = {}
    for key, _, value in walk(config):
        section, _, name = key.rpartition(".")
        known = key in LATER or name == "name" or section == "algo"
        needless = section == "env.atari" and not is_game(config.env.id)
        if not known and not needless and is_read(config, key, continuous):
            sections.setdefault(section, []).append(f"{name}={as_typed(value)}")
    for section, pairs in sections.items():
        line = f"  {section + '.' if section else '':12}{'  '.join(pairs)}"
        yield from _wrapped(line, width, " " * 14)


def _choices(config: Config, chosen: Mapping[str, str]) -> Iterator[str]:
    """One line for each group: what is chosen here, and what else there is."""
    for group, options in all_options().items():
        name, decided = chosen.get(group, default_option(group)), getattr(config, group).name
        if name not in options:
            name = decided
        others = ", ".join(option for option in options if option != name)
        here = f"here {decided}; or " if name != decided else "or "
        yield f"{f'  {group}={name}':24}  {here}{others}"
    yield f"{f'  env={config.env.id}':24}  or any Gymnasium id; module:Id-v0 imports the module"
    yield f"{f'  {TUNED}=mujoco':24}  settings found for it; +experiment=NAME: of a file"


# Everything ---------------------------------------------------------------------------------------


def _everything(
    config: Config, values: Mapping[str, Any], chosen: Mapping[str, str]
) -> Iterator[str]:
    """All settings with their values; of a group that the command line chooses an option for, only
    that option's."""
    width = min(columns(), WIDEST)
    yield fitted(USAGE, width)
    yield _groups(width)
    yield "\n".join(["settings", *_lines(settings_of(Config, ""), values)])
    for group, options in all_options().items():
        for name in [chosen[group]] if group in chosen else list(options):
            yield "\n".join(_option(group, name, config, values))
    yield from (fitted(text, width) for text in (EXAMPLES, arguments.SEE_ALSO, OPTIONS))


def _groups(width: int) -> str:
    lines = ["groups"]
    for group, options in all_options().items():
        line, default = f"  {group}={'|'.join(options)}", f" (default {default_option(group)})"
        # Shown whole, to be copied; where there is no room for the default it goes below.
        lines += [line, " " * 44 + default] if len(line) > 80 else [line.ljust(44) + default]
    lines.append("  env=<any Gymnasium id>".ljust(44) + f" (default {default_option('env')})")
    lines.append(f"  {TUNED}={'|'.join(file_names(TUNED))}".ljust(44) + " (default none)")
    words = "  +experiment=" + (
        " | ".join(file_names("experiment")) or "<a YAML file in conf/experiment>"
    )
    text = "\n".join([*lines, *_wrapped(words, width, " " * 14)])
    return text if width >= 80 else fitted(text, width)


def _option(group: str, name: str, config: Config, values: Mapping[str, Any]) -> Iterator[str]:
    """One option and its settings, with the values of the configuration where it is the chosen
    one, and otherwise those that its file and the update rule would give it."""
    kind, decided = load(group, name), getattr(config, group).name
    yield from _wrapped(f"{group}={name}: {_summary(kind)}", min(columns(), WIDEST))
    if hasattr(kind.traits, "shown"):
        yield f"  here it becomes {decided}:"
        kind, name = load(group, decided), decided
    if decided != name:
        also = set_with(conf_dir(), f"algo/{config.algo.name}", f"{group}={name}")
        values = {f"{group}.{key}": value for key, value in also.items()}
    shown = (s for s in settings_of(kind, f"{group}.") if s.key != f"{group}.name")
    yield from _lines(shown, values)


# Both ---------------------------------------------------------------------------------------------


def _summary(kind: Any) -> str:
    """The first paragraph of what is written about a component."""
    return " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())


def _wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _lines(settings: Iterable[Setting], values: Mapping[str, Any]) -> Iterator[str]:
    for setting in settings:
        yield from _line(setting, values.get(setting.key, setting.default))


def _line(
    setting: Setting, default: Any, with_range: bool = True, indent: int = 38
) -> Iterator[str]:
    allowed = range_text(setting.field.metadata) if with_range else ""
    allowed = re.sub(r"([<>]=?) ", "\\1\N{NO-BREAK SPACE}", allowed)
    text = setting.field.metadata.get("help", "") + (f" ({allowed})" if allowed else "")
    left, width = f"  {setting.key}={as_typed(default)}", min(columns(), WIDEST)
    if width < 80:
        indent = 6  # the words stand below
    lines = _wrapped(text, width - indent, "") or [""]
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
    if len(left) >= indent - 1:
        yield left
        left = ""
    yield left.ljust(indent) + lines[0]
    for line in lines[1:]:
        yield " " * indent + line
