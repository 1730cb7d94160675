"""What going on with a sweep or a search gives to whoever wrote its folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException

from trpo_cli.sweeps.index import Index
from trpo_cli.system.known import check_modules, check_settings, remember

PLAIN = re.compile(r"hydra/launcher=workers|hydra\.launcher\.jobs=\d+|hydra\.sweep\.dir=[^$]*")
"""Settings of Hydra's that are nobody's business; the folder is taken from where the sweep is."""
SPECIAL = re.compile(r"^[+~]*(hydra|init=)|\$\{|_target_")
"""Overrides that choose what Hydra runs, are filled in from this machine, or begin with one of its
policies."""


class Powers(NamedTuple):
    """modules: those that the overrides name, which would be imported. settings: what can run
    programs or read this machine's files in other ways."""

    modules: Sequence[str]
    settings: Sequence[str]

    def check(self, source: str) -> None:
        """Raise `UserError` for what no run of this user's has used. source: the file."""
        check_modules(self.modules, source)
        check_settings(self.settings, source)

    def remember(self) -> None:
        """They are the user's own from now on."""
        remember(self.modules, self.settings)


def of_sweep(listed: Index) -> Powers:
    overrides = [text for job in listed.jobs for text in job.overrides]
    hydra = [text for text in listed.hydra if not PLAIN.fullmatch(text)]
    return powers(dict.fromkeys(overrides), hydra, listed.config_dir)


def powers(overrides: Iterable[str], settings: Sequence[str], config_dir: str | None) -> Powers:
    """settings: those of Hydra's. config_dir: a folder of YAML files, which can say anything."""
    modules, special = list[str](), list(settings)
    parser = OverridesParser.create()
    for text in overrides:
        try:
            modules += _modules(parser.parse_override(text).value())
            if SPECIAL.search(text):
                special.append(text)
        except HydraException:
            special.append(text)
    if config_dir:
        special.append(f"config_dir={config_dir}")
    return Powers(modules, special)


def _modules(value: Any) -> Iterator[str]:
    """What stands before a colon, in any text of a value."""
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, str):
        module, colon, _ = value.rpartition(":")
        if colon:
            yield module.replace("\\", "")
    elif isinstance(value, dict | list):
        for item in [*value, *(value.values() if isinstance(value, dict) else [])]:
            yield from _modules(item)
