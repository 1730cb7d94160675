"""The process of one tracker: it reads the run's files as they grow, and tells the tracker.

The run and its tracker share no memory, no lock and no pipe that could fill up: whatever a tracker
does (wait for a network, raise, never return), the run goes on. How far it was told stands in
``trackers/<name>.json``, so that a resumed run tells the rest, and nothing twice.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from trpo_cli.errors import FOREIGN
from trpo_cli.runs import manifest
from trpo_cli.runs.directory import CONFIG, EVAL, METRICS, VIDEOS
from trpo_cli.runs.scalars import means, numbers
from trpo_cli.sweeps import index
from trpo_cli.sweeps.last import SEARCH
from trpo_cli.trackers.base import TrackedRun, Tracker, load
from trpo_cli.trackers.told import PATIENCE, Told

POLL_SECONDS = 0.5
DEPTH = 4
"""Folders above a run in which its sweep or search is looked for."""


class Rows:
    """The rows of a file that grows at its end only."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> list[dict[str, Any]]:
        """Those that have come since the last call, whole lines alone."""
        if not self._path.exists():
            return []
        with open(self._path, "rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")
        self._read += len(whole[0]) + len(whole[1])
        return [json.loads(line) for line in whole[0].splitlines()]


class Follower:
    """Tells one tracker what the files of one run hold."""

    def __init__(self, name: str, run_dir: Path) -> None:
        self._name, self._run_dir = name, run_dir
        self.told = Told(run_dir, name, str(manifest.read(run_dir)["tracker_id"]))
        self._rows, self._evaluations = Rows(run_dir / METRICS), Rows(run_dir / EVAL)

    def follow(self, ended: Callable[[], bool]) -> None:
        """Until the run has ended. ended: waits a moment, and says whether it has."""
        tracker: Tracker = load(self._name)(self._run())
        self.told.write(begun=True, where=getattr(tracker, "where", None))
        over = False
        while not over:
            over = ended()
            self._tell(tracker)
        status = str(manifest.read(self._run_dir)["status"])
        tracker.finish("killed" if status == "running" else status)

    def _run(self) -> TrackedRun:
        group, name = group_and_name(self._run_dir)
        config = yaml.safe_load((self._run_dir / CONFIG).read_text(encoding="utf-8"))
        return TrackedRun(
            id=self.told.content["id"],
            name=name,
            group=group,
            config=dict(flat(config)),
            folder=self._run_dir,
            resumed=self.told.resumed,
            pid=os.getppid(),
        )

    def _tell(self, tracker: Tracker) -> None:
        """What is new in both files, in the order of steps."""
        # An evaluation is written behind its row: read first, it never comes without that.
        found = [
            (row["step"], 1, EVAL, row)
            for row in self._evaluations.new()
            if "checkpoint" not in row  # of the best policy, not of the one at its step
        ]
        found += [(row["step"], 0, METRICS, row) for row in self._rows.new()]
        found = [entry for entry in found if entry[0] > self.told.content[entry[2]]]
        for step, _, file, row in sorted(found, key=lambda entry: entry[:2]):
            tracker.log(step, numbers(row) if file == METRICS else means(row))
            if file == EVAL:
                self._show_videos(tracker, step)
            self.told.content[file] = step
        if found:
            self.told.write()

    def _show_videos(self, tracker: Tracker, step: int) -> None:
        video = getattr(tracker, "video", None)
        if video is not None:
            for path in sorted((self._run_dir / VIDEOS).glob(f"{step}_*.mp4")):
                video(step, path)


def group_and_name(run_dir: Path) -> tuple[str | None, str]:
    """The name of the sweep or search around a run, None without one, and that of the run: in a
    sweep, the settings that it has and others have not."""
    for folder in list(run_dir.parents)[:DEPTH]:
        if index.is_sweep(folder):
            jobs = index.read(folder).jobs
            names = [job.name for job in jobs if folder / job.folder == run_dir]
            return folder.name, names[0] if names else run_dir.name
        if (folder / SEARCH).is_file():
            return folder.name, run_dir.relative_to(folder).as_posix()
    return None, run_dir.name


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key -> value, as on a command line."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def main() -> int:
    """Its words: the tracker's name and the run directory. The end of standard input, a pipe from
    the process that trains, is the end of the run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # meant for the run, which ends this process
    name, run_dir = sys.argv[1], Path(sys.argv[2])
    parent = os.getppid()

    def ended() -> bool:
        # A process that the run has forked may hold the pipe open after the run is gone.
        over = bool(select.select([0], [], [], POLL_SECONDS)[0]) or os.getppid() != parent
        if over:
            signal.alarm(PATIENCE)  # its own end, should the tracker never come to one
        return over

    follower = Follower(name, run_dir)
    try:
        follower.follow(ended)
    except FOREIGN as error:
        follower.told.write(error=" ".join(f"{type(error).__name__}: {error}".split())[:500])
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
