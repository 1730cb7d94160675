"""What a search space may hold here: names, types and ranges, and what is read at all."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from trpo_cli.commands.hydra.alike import changed
from trpo_cli.commands.hydra.compose import compose
from trpo_cli.commands.hydra.options import choices, find_setting
from trpo_cli.commands.launch import check_surroundings
from trpo_cli.components import HOMES
from trpo_cli.config import Config, check_read
from trpo_cli.config.schema import replaced
from trpo_cli.config.settle import settle
from trpo_cli.errors import UserError
from trpo_cli.training.build import Prepared
from trpo_cli.tune.space import Dimension, find_space, override, parse_space, without


def read_space(
    hydra: Hydra, overrides: Sequence[str], config: Config, given: str | None
) -> tuple[str, list[str]]:
    """The text of a search space, checked, and the settings that were left out of one of ours since
    nothing would read them here.

    config: what the overrides make. given: the file that the person names, None for ours.
    """
    path = find_space(given, config.algo.name)
    text = path.read_text(encoding="utf-8")
    dimensions = parse_space(text, str(path))
    check_space(hydra, overrides, config, dimensions, str(path))
    left_out = unread(dimensions, config, check_surroundings(config, overrides))
    if left_out and given:
        raise UserError(f"{path}: {next(iter(left_out.values()))}")
    return without(text, left_out), list(left_out)


def check_space(
    hydra: Hydra, overrides: Sequence[str], config: Config, space: Sequence[Dimension], source: str
) -> None:
    """Try both ends of every range and each value of every list.

    config: what the overrides make. Raises `UserError` naming the file and the setting that does
    not fit.
    """
    for dimension in space:
        refuse_given(dimension.key, overrides, source)
        for value in dimension.ends():
            try:
                _check(hydra, overrides, config, override(dimension.key, value))
            except UserError as error:
                raise UserError(f"{source}: {error}") from error


def refuse_given(key: str, overrides: Sequence[str], source: str) -> None:
    """Raise `UserError` for what all trials have in common and differ in."""
    if any(text.lstrip("+").partition("=")[0] == key for text in overrides):
        raise UserError(
            f"{key} is given on the command line and searched over in {source}. "
            "Leave it out of one of them."
        )


def _check(hydra: Hydra, overrides: Sequence[str], config: Config, text: str) -> None:
    key, chosen = text.partition("=")[0], _chosen(config)
    setting = find_setting(key, choices(chosen))
    known = setting is not None and (not setting.option or "=".join(setting.option) in chosen)
    if not known or "${" in text:
        compose(hydra, [*overrides, text])  # a group, or a mistake
    else:
        changed(hydra, config, [text])


def unread(space: Sequence[Dimension], config: Config, prepared: Prepared) -> dict[str, str]:
    """The settings of a space that nothing would read here, and why not.

    config: as it was composed. prepared: what became of it.
    """
    from trpo_cli.simulators.base import shows_images

    simulator = prepared.simulator
    images = shows_images(simulator.observation_space)
    continuous = type(simulator.action_space).__name__ == "Box"
    found = {}
    for dimension in space:
        key, value = dimension.key, dimension.ends()[0]
        if find_setting(key, choices(_chosen(config))) is None:
            continue  # a group
        text = override(key, value)
        given = OverridesParser.create().parse_override(text).value()
        try:
            settled = settle(replaced(config, key, given), images, prepared.emulated)
            check_read(settled, [key], continuous)
        except UserError as error:
            found[key] = str(error)
    return found


def _chosen(config: Config) -> list[str]:
    """The choices of all groups, as overrides."""
    return [f"{group}={getattr(config, group).name}" for group in HOMES]
