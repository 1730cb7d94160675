"""`last`: the run, sweep or search below outputs/ that was begun or gone on with last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import CHECKPOINTS, CONFIG, LOCK, METRICS, OUTPUTS
from trpo_cli.sweeps.index import INDEX, is_sweep, read

LAST = "last"
SEARCH = "tune.json"


def named(word: str, said: str, searches: bool = False) -> Path:
    """The folder that a person named, "last" looked up unless a folder has that name.

    said: how it was said, for the error. searches: whether a search of trpo-tune may be meant.
    Raises `UserError` when there is none.
    """
    if word != LAST or Path(word).exists():
        return Path(word)
    marks = (INDEX, SEARCH) if searches else (INDEX,)
    found = max(_candidates(OUTPUTS, marks), default=None)
    if found is None:
        kinds = "run, sweep or search" if searches else "run or sweep"
        raise UserError(
            f"{said}: there is no {kinds} below {OUTPUTS}{os.sep} here ({Path.cwd()}). Name its "
            "folder."
        )
    return Path(found[1])


def search_named(word: str, said: str) -> Path:
    """The same where it has to be a search."""
    if word != LAST or Path(word).exists():
        return Path(word)
    found = [(t, f) for t, f in _candidates(OUTPUTS, (SEARCH,)) if (Path(f) / SEARCH).exists()]
    if not found:
        raise UserError(
            f"{said}: there is no search below {OUTPUTS}{os.sep} here ({Path.cwd()}). Name its "
            "folder."
        )
    return Path(max(found)[1])


def run_or_sweep(word: str, said: str) -> Path:
    """The same where it has to be a run or a sweep itself; of a folder that holds some, the error
    names the newest."""
    folder = named(word, said)
    inside = CHECKPOINTS in folder.absolute().parts[-2:]
    if folder.is_dir() and not inside and not any((folder / n).exists() for n in (CONFIG, INDEX)):
        found = max(_candidates(folder, (INDEX,)), default=None)
        if found is not None:
            raise UserError(
                f"{said}: {folder} is no run and no sweep. The newest below it is {found[1]}."
            )
    return folder


def only_run(word: str, said: str) -> Path:
    """The same where it has to be one run; of a sweep, the error names its runs."""
    folder = run_or_sweep(word, said)
    if is_sweep(folder):
        runs = [str(folder / job.folder) for job in read(folder).jobs]
        shown = ", ".join(runs[:3]) + (", ..." if len(runs) > 3 else "")
        raise UserError(f"{said}: {folder} is a sweep. Name one of its runs: {shown}.")
    return folder


def _candidates(top: Path, marks: tuple[str, ...]) -> Iterator[tuple[float, str]]:
    """(when it was begun or gone on with, folder); runs of a sweep or search are a part of it."""
    for folder, below, files in os.walk(top):
        own = [name for name in (*marks, SEARCH) if name in files]
        if own or CONFIG in files:
            below.clear()
        if CONFIG in files and not own and METRICS not in files:
            continue  # some other folder with a config.yaml
        if CONFIG in files or any(name in marks for name in own):
            # The lock is written by every process that goes on with what is there.
            with contextlib.suppress(OSError):
                yield max(_written(folder, name) for name in (*own, CONFIG, LOCK)), folder


def _written(folder: str, name: str) -> float:
    with contextlib.suppress(FileNotFoundError):
        return os.stat(os.path.join(folder, name)).st_mtime
    return 0.0
