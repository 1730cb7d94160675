"""sweep.json: what a sweep consists of. How far each run is stands in the run's own directory."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.runs.directory import read_json, write_atomically

FORMAT = 1
INDEX = "sweep.json"


@dataclass(frozen=True)
class Job:
    """One run of a sweep. overrides: all its settings, as on a command line; differs: those of them
    that other jobs have not; folder: its run directory, below that of the sweep."""

    number: int
    overrides: tuple[str, ...]
    differs: tuple[str, ...]
    folder: str

    @property
    def name(self) -> str:
        """The job in a line of text, without the backslashes that Hydra wants in front of colons
        and the like."""
        return (" ".join(self.differs or self.overrides) or "defaults").replace("\\", "")


@dataclass(frozen=True)
class Index:
    """A sweep. command: its command line; config_dir: the person's folder of YAML files, absolute;
    hydra: the overrides of Hydra's own settings; threads: of each run that names no number, None
    where the launcher's machine decides."""

    command: str
    created: str
    config_dir: str | None
    hydra: tuple[str, ...]
    threads: int | None
    jobs: tuple[Job, ...]

    def write(self, sweep_dir: Path) -> None:
        """Raises `CannotWrite` when the disk refuses."""
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)
        write_atomically(sweep_dir / INDEX, text.encode() + b"\n")


def new(
    command: Sequence[str],
    config_dir: str | None,
    hydra: Sequence[str],
    threads: int | None,
    jobs: Sequence[Sequence[str]],
    folders: Sequence[str],
) -> Index:
    """The index of a sweep that begins now; jobs: the overrides of each."""
    return Index(
        shlex.join(command),
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        str(Path(config_dir).resolve()) if config_dir else None,
        tuple(hydra),
        threads,
        tuple(
            Job(number, tuple(job), differing, folder)
            for number, (job, differing, folder) in enumerate(
                zip(jobs, differences(jobs), folders, strict=True)
            )
        ),
    )


def differences(jobs: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Of each job the overrides that some other one has not."""
    common = set(jobs[0]).intersection(*jobs) if jobs else set[str]()
    return [tuple(override for override in job if override not in common) for job in jobs]


def is_sweep(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def read(sweep_dir: Path) -> Index:
    """Raises `UserError` when the file is broken or too new."""
    return read_json(sweep_dir / INDEX, FORMAT, "the index of a sweep", _index)


def _index(content: dict[str, Any]) -> Index:
    del content["format"]
    jobs = tuple(
        Job(job["number"], tuple(job["overrides"]), tuple(job["differs"]), job["folder"])
        for job in content["jobs"]
    )
    return Index(**{**content, "hydra": tuple(content["hydra"]), "jobs": jobs})
