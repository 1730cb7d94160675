"""``trackers/<name>.json`` of a run: what a tracker was told so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trpo_cli.runs.directory import EVAL, METRICS, read_json, write_json

FOLDER = "trackers"
FORMAT = 1
PATIENCE = 60
"""Seconds for a tracker to finish, once the run has ended."""


def file_of(run_dir: Path, name: str, ending: str = ".json") -> Path:
    """The file of a tracker in the run directory; ".log" is what it prints."""
    return run_dir / FOLDER / (name.replace(":", ".") + ending)


class Told:
    """The steps of the last row and the last evaluation that a tracker was told, where they can be
    seen, and what it has failed with. Written by the tracker's process, read by the run's.

    resumed: whether the tracker has begun with this run before.
    """

    def __init__(self, run_dir: Path, name: str, run_id: str) -> None:
        """What was told of another run, as in a copied folder, counts for nothing. Raises
        `UserError` for a file that is none of ours."""
        self._path = file_of(run_dir, name)
        self.content: dict[str, Any] = {
            "format": FORMAT, "id": run_id, "begun": False, METRICS: -1, EVAL: -1,
        }  # fmt: skip
        if self._path.exists():
            kept = read_told(run_dir, name)
            if kept["id"] == run_id:
                self.content |= {key: kept[key] for key in ("begun", METRICS, EVAL)}
        self.resumed = bool(self.content["begun"])
        self.write(where=None, error=None)

    def write(self, **changes: Any) -> None:
        self.content |= changes
        write_json(self._path, self.content)


def read_told(run_dir: Path, name: str) -> dict[str, Any]:
    """The content of the file; raises `UserError` when it is not there or none of ours."""
    return read_json(file_of(run_dir, name), FORMAT, "what a tracker was told", _content)


def _content(content: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for a kind of value that none has there."""
    for key, kinds in (("id", str), ("begun", bool), (METRICS, int), (EVAL, int)):
        if not isinstance(content[key], kinds):
            raise ValueError(f"{key}={content[key]!r}")
    return content
