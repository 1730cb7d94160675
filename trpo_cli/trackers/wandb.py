"""Weights & Biases. Its own environment variables hold: WANDB_MODE, WANDB_PROJECT, WANDB_DIR."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from trpo_cli.trackers.base import PROJECT, TrackedRun

EXIT_CODES = {"finished": 0, "interrupted": 130, "failed": 3, "killed": 137}


class Wandb:
    """A run of Weights & Biases with the id of ours, so that it goes on there as well."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._wandb = wandb
        settings = wandb.Settings(console="off", x_stats_pid=run.pid)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.id,
            name=run.name,
            group=run.group,
            config={key: value for key, value in run.config.items()},
            dir=os.environ.get("WANDB_DIR") or run.folder,
            resume="allow",
            allow_val_change=True,  # a resumed run may have another total_steps
            settings=settings,
        )
        self.where = self._run.url or (
            f"offline in {self._run.settings.sync_dir}; wandb sync uploads it"
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def video(self, step: int, path: Path) -> None:
        self._run.log({f"eval/video_{path.stem.rpartition('_')[2]}": self._video(path)}, step=step)

    def _video(self, path: Path) -> object:
        return self._wandb.Video(str(path), format="mp4")

    def finish(self, status: str) -> None:
        self._run.finish(exit_code=EXIT_CODES[status])
