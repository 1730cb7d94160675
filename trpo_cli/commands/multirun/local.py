"""``hydra/launcher=workers``, the default: the jobs of a sweep run in our own worker processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from trpo_cli.errors import UserError
from trpo_cli.sweeps.index import Index
from trpo_cli.sweeps.pool import Pool, share
from trpo_cli.sweeps.run import Task, conclude, run_jobs
from trpo_cli.system.machine import usable_cores
from trpo_cli.system.signals import Interrupted
from trpo_cli.terminal.display import count


class Workers:
    """Runs the jobs of a sweep on this machine. threads: of each run that names no number."""

    def __init__(self, master: DictConfig, jobs: int, threads: int | None) -> None:
        """jobs: how many there are; threads: of each, None for its share of the cores.

        Raises `UserError` for settings of the launcher that cannot be meant.
        """
        at_once = master.hydra.launcher.jobs
        if at_once is not None and at_once < 1:
            raise UserError(
                f"hydra.launcher.jobs={at_once} is out of range: it must be >= 1. Leave it out "
                "for as many runs at a time as there are cores for."
            )
        if (size := master.hydra.sweeper.max_batch_size) is not None:
            raise UserError(
                f"hydra.sweeper.max_batch_size={size}: the workers take one run after the other. "
                "Say how many go on at a time with hydra.launcher.jobs=N."
            )
        self._at_once, self.threads = share(jobs, threads, at_once)

    def run(
        self, index: Index, sweep_dir: Path, tasks: Sequence[Task], changes: Sequence[str] = ()
    ) -> int:
        """Run what is not done yet; returns 0, or the worst exit status."""
        todo, cores = sum(not task.done for task in tasks), usable_cores()
        how = f"{self._at_once} at a time with {count(self.threads, 'thread')} each"
        if self._at_once * self.threads > cores:
            print(
                f"warning: {how} is more than the {count(cores, 'core')} here; all runs get "
                "slower.",
                file=sys.stderr,
            )
        print(f"{count(todo, 'run')}, {how}, in {sweep_dir}", flush=True)
        pool = Pool(self._at_once, threads=self.threads, config_dir=index.config_dir)
        entries = [task.entry for task in tasks]
        try:
            ended = run_jobs(tasks, sweep_dir, pool, changes)
        except Interrupted:
            conclude(entries, sweep_dir, {})
            raise
        failed = {number: one.message for number, one in ended.items() if one.status}
        conclude(entries, sweep_dir, failed)
        return max((one.status for one in ended.values()), default=0)
