"""Trackio. Its own environment variables hold, such as TRACKIO_DIR and TRACKIO_SPACE_ID."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from trpo_cli.trackers.base import PROJECT, TrackedRun


class Trackio:
    """A run of Trackio, which knows runs by their names: ours ends in the first digits of the id.
    It keeps no status."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._trackio = trackio
        project, name = os.environ.get("TRACKIO_PROJECT") or PROJECT, f"{run.name} {run.id[:8]}"
        self._run = trackio.init(
            project,
            name=name,
            group=run.group,
            config=dict(run.config),
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        self.where = f"project {project}, run {name}; trackio show --project {project}"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def video(self, step: int, path: Path) -> None:
        number = path.stem.rpartition("_")[2]
        self._run.log({f"eval/video_{number}": self._trackio.Video(str(path))}, step=step)

    def finish(self, status: str) -> None:
        self._trackio.finish()
