"""``hydra/launcher=workers``, the default: each job of a sweep is a process on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from trpo_cli.errors import UserError
from trpo_cli.sweeps.index import Index
from trpo_cli.sweeps.overview import WAITING, Row
from trpo_cli.sweeps.pool import Pool, divide_cores
from trpo_cli.sweeps.supervise import conclude, supervise
from trpo_cli.system.machine import usable_cores
from trpo_cli.system.signals import Interrupted
from trpo_cli.terminal.display import count


class LocalLauncher:
    """Runs the jobs of a sweep on this machine. threads: of each run that names no number."""

    def __init__(self, master: DictConfig, jobs: int, threads: int | None) -> None:
        """jobs: how many there are. threads: of each; None divides the cores among them.

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
        self.at_once, self.threads = divide_cores(jobs, threads, at_once)

    def run(
        self, index: Index, sweep_dir: Path, rows: Sequence[Row], changes: Sequence[str] = ()
    ) -> int:
        """Run what is not done yet; returns 0, or the worst exit status."""
        todo = sum(row.state == WAITING for row in rows)
        pool = self.pool(index, f"{count(todo, 'run')}, ", sweep_dir)
        try:
            ended = supervise(index.jobs, rows, pool, changes)
        except Interrupted:
            conclude(index.jobs, sweep_dir, {})
            raise
        failed = {number: one.message for number, one in ended.items() if one.status}
        conclude(index.jobs, sweep_dir, failed)
        return max((one.status for one in ended.values()), default=0)

    def pool(self, index: Index, what: str, sweep_dir: Path) -> Pool:
        """The processes; says what goes on and where."""
        cores = usable_cores()
        how = f"{self.at_once} at a time with {count(self.threads, 'thread')} each"
        if self.at_once * self.threads > cores:
            print(
                f"warning: {how} is more than the {count(cores, 'core')} here; all runs get "
                "slower.",
                file=sys.stderr,
            )
        print(f"{what}{how}, in {sweep_dir}", flush=True)
        return Pool(self.at_once, threads=self.threads, config_dir=index.config_dir)
