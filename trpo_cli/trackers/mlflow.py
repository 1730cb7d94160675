"""MLflow. Its own environment variables hold: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trpo_cli.trackers.base import PROJECT, TrackedRun
from trpo_cli.trackers.turns import one_at_a_time

TAG = "trpo_cli.id"
MOST = 100
"""Parameters that MLflow takes at once."""
LONGEST = 6000
"""Characters of a parameter."""
STATUSES = {
    "finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED", "killed": "KILLED",
}  # fmt: skip


class Mlflow:
    """A run of MLflow whose tag `trpo_cli.id` is our id, by which it is found when it goes on."""

    def __init__(self, run: TrackedRun) -> None:
        import mlflow
        from mlflow.tracking import MlflowClient

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        with one_at_a_time("mlflow"):  # the first makes the database, or the experiment
            self._client = MlflowClient()
            found = self._client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self._client.create_experiment(name)
        known = self._client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'", max_results=1)
        if known:
            self._id = known[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {TAG: run.id, **({"trpo_cli.group": run.group} if run.group else {})}
            made = self._client.create_run(experiment, run_name=run.name, tags=tags)
            self._id = made.info.run_id
            self._parameters(run.config)
        self.where = f"{mlflow.get_tracking_uri()}, experiment {name}, run {self._id}"

    def _parameters(self, config: Mapping[str, Any]) -> None:
        """They cannot be changed later: those of the beginning stay."""
        from mlflow.entities import Param

        rows = [Param(key, str(value)[:LONGEST]) for key, value in config.items()]
        for first in range(0, len(rows), MOST):
            self._client.log_batch(self._id, params=rows[first : first + MOST])

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        rows = [Metric(key, float(value), now, step) for key, value in metrics.items()]
        self._client.log_batch(self._id, metrics=rows)

    def video(self, step: int, path: Path) -> None:
        self._client.log_artifact(self._id, str(path), "videos")

    def finish(self, status: str) -> None:
        self._client.set_terminated(self._id, STATUSES[status])
