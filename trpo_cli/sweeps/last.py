"""`last`: the run, sweep or search below outputs/ that was begun or gone on with last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import CONFIG, LOCK, METRICS, OUTPUTS
from trpo_cli.sweeps.index import INDEX

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
