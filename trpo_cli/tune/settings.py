"""tune.json: what a search was begun with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import LOCK, read_json, refuse_links, write_json
from trpo_cli.sweeps.last import SEARCH as FILE
from trpo_cli.tune.candidates import choices_of
from trpo_cli.tune.journal import START
from trpo_cli.tune.points import MEDIAN, NONE, PRUNERS
from trpo_cli.tune.space import Dimension, parse_space

FORMAT = 3
"""Format 2 knew no candidates and no first seed, and whether to prune, by the median, as true or
false. Journals of format 1 have no digits of their own to begin with."""
WRITTEN = (FILE, LOCK, "journal.log", "journal.log.lock", "report.md", "trials.csv", "trials")
"""What a search writes in its folder."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search was begun with, as tune.json has it. space: the text of the file, empty where
    there are candidates; candidates: settings to try first; journal: the digits with which the
    chain of its lines begins."""

    command: str
    overrides: list[str]
    space: str
    seeds: int
    trials: int
    sampler: str
    prune: str
    search_seed: int
    config_dir: str | None
    journal: str = START
    first_seed: int = 0
    candidates: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def seeds_used(self) -> range:
        """Of each trial's runs."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def dimensions(self, source: str) -> list[Dimension]:
        """What is searched over. source: named in errors."""
        return choices_of(self.candidates) if self.candidates else parse_space(self.space, source)

    def write(self, folder: Path) -> None:
        """Raises `CannotWrite` when the disk refuses."""
        write_json(folder / FILE, {"format": FORMAT, **dataclasses.asdict(self)})


KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "list[str]": (list,), "list[dict[str, str]]": (list,),
    "str | None": (str, type(None)),
}  # fmt: skip


def read(folder: Path) -> Settings:
    """Raises `UserError` when no search was begun there, or when the file is not what was written:
    it may come from somebody else."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"resume={folder}: no search was begun there (it has no {FILE}). Give the folder "
            "that trpo-tune printed."
        )

    refuse_links(folder, WRITTEN)
    for runs in ("trials/*", "trials/*/*"):
        refuse_links(folder, (str(path.relative_to(folder)) for path in folder.glob(runs)))

    def made(content: dict[str, Any]) -> Settings:
        if content.pop("format") < 3:
            content["prune"] = {True: MEDIAN, False: NONE}[content["prune"]]
        found = Settings(**content)
        for field in dataclasses.fields(Settings):
            value = getattr(found, field.name)
            whole = type(value) is int and abs(value) < 2**31
            if not (whole if field.type == "int" else isinstance(value, KINDS[str(field.type)])):
                raise ValueError(f"{field.name}={value!r}")
        if not all(isinstance(text, str) for text in found.overrides):
            raise ValueError(f"overrides={found.overrides!r}")
        keys = {_keys(candidate) for candidate in found.candidates}
        if None in keys or len(keys) > 1:
            raise ValueError(f"candidates={found.candidates!r}")
        if found.prune not in PRUNERS:
            raise ValueError(f"prune={found.prune!r}")
        return found

    return read_json(path, FORMAT, "the settings of a search", made)


def _keys(given: Any) -> frozenset[str] | None:
    """Of a candidate; None for what is none."""
    if isinstance(given, dict) and all(isinstance(text, str) for text in given.values()):
        return frozenset(given)
    return None
