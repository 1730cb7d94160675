"""Many configurations that differ by a few values: composed once, and changed where they differ.

Hydra takes a tenth of a second for each, which is what a person waits for before a sweep begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from trpo_cli.commands.hydra.compose import accept, compose
from trpo_cli.commands.hydra.options import choices, find_setting, type_words
from trpo_cli.commands.hydra.overrides import check_overrides, check_settings
from trpo_cli.components import HOMES
from trpo_cli.config import Config, validate
from trpo_cli.config.schema import replaced


class Alike:
    """Composes configurations as `compose` does, which says what `recorded` is."""

    def __init__(self, hydra: Hydra, recorded: bool = False) -> None:
        self._hydra, self._recorded = hydra, recorded
        self._known: dict[tuple[str, ...], tuple[Config, DictConfig]] = {}

    def compose(self, overrides: Sequence[str]) -> tuple[Config, DictConfig]:
        """The validated configuration, and Hydra's own settings: those of the first like it, which
        may differ in what is told of the job."""
        if any("${" in text for text in overrides):  # it may stand for anything
            return compose(self._hydra, overrides, self._recorded)
        chosen = choices(overrides)
        plain = [_is_plain(text, chosen) for text in overrides]
        kind = tuple(
            text.partition("=")[0] if simple else text
            for text, simple in zip(overrides, plain, strict=True)
        )
        if kind not in self._known:
            self._known[kind] = compose(self._hydra, overrides, self._recorded)
            return self._known[kind]
        config, settings = self._known[kind]
        values = [text for text, simple in zip(overrides, plain, strict=True) if simple]
        return changed(self._hydra, config, values, self._recorded), settings


def changed(
    hydra: Hydra, config: Config, overrides: Sequence[str], recorded: bool = False
) -> Config:
    """A configuration with other values of settings that its components have.

    Raises `UserError` as `compose` does.
    """
    chosen = [f"{group}={getattr(config, group).name}" for group in HOMES]
    checked = check_overrides([*chosen, *overrides])[len(chosen) :]
    loader: Any = hydra.config_loader
    said = check_settings([*chosen, *checked], loader.repository.group_exists)
    parser = OverridesParser.create()
    for text in checked:
        parsed = parser.parse_override(text)
        config = replaced(config, parsed.key_or_group, parsed.value())
    validate(config)
    if not recorded:
        accept(config, said)
    return config


def _is_plain(text: str, chosen: dict[str, str]) -> bool:
    """Whether an override gives a setting of a component that is chosen, or of none, a value."""
    setting = find_setting(text.partition("=")[0], chosen)
    if setting is None or "mapping" in type_words(setting.type):
        return False
    group, name = setting.option or ("", "")
    return not group or chosen.get(group) == name
