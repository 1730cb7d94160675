"""race.json: what a race was begun with. Which runs it made stands in sweep.json beside it, and how
far they are in their own directories, from which everything else is computed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.runs.directory import read_json, refuse_links, write_json

FORMAT = 1
RECORD = "race.json"
MAX_SEEDS = 20
ERROR_RATE = 0.05


@dataclass(frozen=True)
class Bounds:
    """max_seeds: of each group. max_hours: of one command, None for no limit. difference: the
    smallest one that matters, None where only the order does; share: it is a part of the larger
    mean of the first look. error_rate: of all decisions of a kind together."""

    max_seeds: int = MAX_SEEDS
    max_hours: float | None = None
    difference: float | None = None
    share: bool = False
    error_rate: float = ERROR_RATE


@dataclass(frozen=True)
class Record:
    """bounds: asked for. first_seed: of every group, the others follow it. cells: how many groups
    there are over all environments; the first so many jobs of sweep.json are one of each."""

    bounds: Bounds
    first_seed: int
    cells: int

    def write(self, sweep_dir: Path) -> None:
        """Raises `CannotWrite` when the disk refuses."""
        write_json(sweep_dir / RECORD, {"format": FORMAT, **dataclasses.asdict(self)})


def is_race(sweep_dir: Path) -> bool:
    return (sweep_dir / RECORD).is_file()


def read(sweep_dir: Path) -> Record:
    """Raises `UserError` when the file is broken or too new: it may come from somebody else."""
    refuse_links(sweep_dir, [RECORD])
    return read_json(sweep_dir / RECORD, FORMAT, "the record of a race", _record)


def _record(content: dict[str, Any]) -> Record:
    """Raises ValueError, TypeError or KeyError for what is no record."""
    del content["format"]
    bounds = Bounds(**content.pop("bounds"))
    numbers = [v for v in (bounds.max_hours, bounds.difference) if v is not None]
    found = Record(bounds, **content)
    counts = (bounds.max_seeds, found.first_seed, found.cells)
    if not all(type(n) is int and 0 <= n < 2**31 for n in counts) or found.cells < 2:
        raise ValueError(f"counts {counts}")
    if not all(type(v) in (int, float) and 0 < v < math.inf for v in (*numbers, bounds.error_rate)):
        raise ValueError("its bounds are no positive numbers")
    if bounds.max_seeds < 2 or bounds.error_rate >= 1 or type(bounds.share) is not bool:
        raise ValueError("its bounds are out of range")
    return found
