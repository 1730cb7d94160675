"""Trackers for tests: one that writes down every call, and some that fail."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trpo_cli.trackers.base import TrackedRun

FILE = "notes.jsonl"


class Notes:
    """Each call as a line of notes.jsonl in the run directory."""

    def __init__(self, run: TrackedRun) -> None:
        self._path, self.where = run.folder / FILE, "in a file"
        facts = {"id": run.id, "name": run.name, "group": run.group, "resumed": run.resumed}
        self._note("run", {**facts, "config": dict(run.config), "pid": run.pid})

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._note("log", [step, dict(metrics)])

    def video(self, step: int, path: Path) -> None:
        self._note("video", [step, path.name])

    def finish(self, status: str) -> None:
        self._note("finish", status)

    def _note(self, what: str, content: Any) -> None:
        with open(self._path, "a") as file:
            file.write(json.dumps([what, content]) + "\n")


class Raises(Notes):
    """Fails at the third call of `log`, once in the life of a run directory."""

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self._failed, self._calls = run.folder / "failed", 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._calls += 1
        if self._calls == 3 and not self._failed.exists():
            self._failed.touch()
            raise ConnectionError("the server is on holiday")
        super().log(step, metrics)


class Hangs(Notes):
    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        (self._path.parent / "hanging").touch()
        time.sleep(1e6)


class Leaves(Notes):
    """Ends its process without a word."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        raise SystemExit(0)


class Mute:
    """No tracker: it has no log."""

    def finish(self, status: str) -> None:
        raise AssertionError
