"""sweep.json: what a sweep consists of. How far each run is stands in the run's own directory."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trpo_cli.runs.directory import LOCK, check_inside, read_json, refuse_links, write_json
from trpo_cli.untrusted import harmless

T = TypeVar("T")
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
        words = " ".join(self.differs or self.overrides) or "defaults"
        return harmless(words.replace("\\", ""))


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
        write_json(sweep_dir / INDEX, {"format": FORMAT, **dataclasses.asdict(self)})


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
    """Raises `UserError` when the file is broken or too new, or is none of ours: it may come from
    somebody else."""
    refuse_links(sweep_dir, [INDEX, LOCK])
    listed = read_json(sweep_dir / INDEX, FORMAT, "the index of a sweep", _index)
    for job in listed.jobs:
        check_inside(sweep_dir, job.folder)
    return listed


def _index(content: dict[str, Any]) -> Index:
    """Raises ValueError for a key that is missing or unknown, and for a value of a wrong kind."""
    del content["format"]
    jobs = [_of_kind(Job, job) for job in _checked("jobs", content["jobs"], list)]
    if not jobs or len({job.number for job in jobs}) < len(jobs):
        raise ValueError("jobs have no numbers of their own")
    if len({job.folder for job in jobs}) < len(jobs):
        raise ValueError("jobs share a folder")
    return _of_kind(Index, {**content, "jobs": jobs})


KINDS: dict[str, tuple[type, ...]] = {
    "number": (int,),
    "overrides": (list,),
    "differs": (list,),
    "folder": (str,),
    "command": (str,),
    "created": (str,),
    "config_dir": (str, type(None)),
    "hydra": (list,),
    "threads": (int, type(None)),
    "jobs": (list,),
}
TEXTS = ("overrides", "differs", "hydra")


def _of_kind(kind: type[T], content: Any) -> T:
    """A dataclass from a mapping of just its fields."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(content, dict) or content.keys() != names:
        found = sorted(content) if isinstance(content, dict) else content
        raise ValueError(f"expected {', '.join(sorted(names))}; found {found!r}")
    values = {key: _checked(key, value, *KINDS[key]) for key, value in content.items()}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _checked(key: str, value: Any, *kinds: type) -> Any:
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if good and key in TEXTS:
        good = all(isinstance(item, str) for item in value)
    if good and isinstance(value, int):
        good = 0 <= value < 2**31
    if not good:
        raise ValueError(f"{key}={value!r}")
    return value
