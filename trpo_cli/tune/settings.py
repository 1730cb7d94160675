"""tune.json: what a search was begun with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import LOCK, read_json, refuse_links, write_json
from trpo_cli.sweeps.last import SEARCH as FILE
from trpo_cli.tune.journal import START

FORMAT = 2
"""Of searches whose journal begins with digits of its own; those of format 1 have none."""
WRITTEN = (FILE, LOCK, "journal.log", "journal.log.lock", "report.md", "trials.csv", "trials")
"""What a search writes in its folder."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search was begun with, as tune.json has it. space: the text of the file; journal: the
    digits with which the chain of its lines begins."""

    command: str
    overrides: list[str]
    space: str
    seeds: int
    trials: int
    sampler: str
    prune: bool
    search_seed: int
    config_dir: str | None
    journal: str = START

    def write(self, folder: Path) -> None:
        """Raises `CannotWrite` when the disk refuses."""
        write_json(folder / FILE, {"format": FORMAT, **dataclasses.asdict(self)})


KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "list[str]": (list,), "bool": (bool,), "str | None": (str, type(None))
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
        found = Settings(**{key: value for key, value in content.items() if key != "format"})
        for field in dataclasses.fields(Settings):
            value = getattr(found, field.name)
            whole = type(value) is int and abs(value) < 2**31
            if not (whole if field.type == "int" else isinstance(value, KINDS[str(field.type)])):
                raise ValueError(f"{field.name}={value!r}")
        if not all(isinstance(text, str) for text in found.overrides):
            raise ValueError(f"overrides={found.overrides!r}")
        return found

    return read_json(path, FORMAT, "the settings of a search", made)
