"""The jobs of a sweep under Hydra's own launchers: basic, joblib, submitit for Slurm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from trpo_cli.commands.failures import report
from trpo_cli.commands.hydra.compose import to_config
from trpo_cli.commands.multirun.job import begin, go_on, with_threads
from trpo_cli.commands.multirun.preemption import requeued_when_preempted
from trpo_cli.commands.multirun.slurm import (
    check_array,
    has_accounting,
    watch_queue,
    why_lost,
)
from trpo_cli.commands.resume import resumed_config
from trpo_cli.errors import FOREIGN, RunFailed, UserError
from trpo_cli.runs.manifest import read
from trpo_cli.sweeps.index import Index
from trpo_cli.sweeps.look import has_begun, is_finished
from trpo_cli.sweeps.overview import Row
from trpo_cli.sweeps.supervise import conclude
from trpo_cli.system.machine import usable_cores

SLURM = "SlurmLauncher"
"""submitit's."""


class PluginLauncher:
    """Runs the jobs of a sweep by the launcher that ``hydra/launcher`` names.

    threads: of each run that names no number; None where the machine that gets it decides.
    """

    def __init__(self, hydra: Hydra, master: DictConfig, jobs: int, threads: int | None) -> None:
        """Raises Hydra's errors when there is no such launcher."""
        refuse_interpolation(Path.cwd())
        self._hydra, self._master = hydra, master
        launcher: Any = make_launcher(hydra, master, _nothing)
        self.threads = threads or threads_per_run(launcher, jobs)
        if type(launcher).__name__ == SLURM:
            check_array(jobs, master.hydra.sweeper.get("max_batch_size"))
            if not has_accounting():
                watch_queue()

    def run(
        self, index: Index, sweep_dir: Path, rows: Sequence[Row], changes: Sequence[str] = ()
    ) -> int:
        """Run all jobs, those that are done for a moment only: Hydra numbers them one by one.

        Returns 0, or the worst exit status.
        """
        run = partial(run_one, threads=self.threads, config_dir=index.config_dir, changes=changes)
        # A new one: the folder of the sweep is known only now.
        launcher: Any = make_launcher(self._hydra, self._master, run)
        print(f"{len(index.jobs)} runs by {type(launcher).__name__}, in {sweep_dir}", flush=True)
        jobs = [[*job.overrides, *changes] for job in index.jobs]
        size, statuses = self._master.hydra.sweeper.get("max_batch_size"), list[int]()
        try:
            for batch in BasicSweeper.split_overrides_to_chunks(jobs, size):
                returned = launcher.launch(list(batch), initial_job_idx=len(statuses))
                statuses += [job.return_value for job in returned]
        except Exception as error:  # a job that died; Hydra's launchers give up on the others
            conclude(index.jobs, sweep_dir, {})
            if told := why_lost(error, sweep_dir):
                raise RunFailed(told) from error
            raise
        except KeyboardInterrupt:
            if type(launcher).__name__ == SLURM:
                print("the jobs go on without this process; squeue lists them, scancel ends them")
            conclude(index.jobs, sweep_dir, {})
            raise
        failed = {
            job.number: read(sweep_dir / job.folder).get("reason") or "its output says why."
            for job, status in zip(index.jobs, statuses, strict=True)
            if status
        }
        conclude(index.jobs, sweep_dir, failed)
        return max(statuses)


def refuse_interpolation(folder: Path) -> None:
    """Raise `UserError` for a path that Hydra would fill in something for, in its own settings."""
    if "${" in str(folder.absolute()):
        raise UserError(
            f"the folder {folder.absolute()} has ${{ in its name, which this launcher takes for a "
            "setting to fill in. Rename it, or leave hydra/launcher out."
        )


def make_launcher(hydra: Hydra, master: DictConfig, run: TaskFunction) -> Any:
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=run, config=master
    )


def run_one(
    cfg: DictConfig, threads: int | None, config_dir: str | None, changes: Sequence[str]
) -> int:
    """Hydra's task function: one run, from where it is. Its failure is told at once."""
    hydra = HydraConfig.get()
    number, overrides = hydra.job.num, list(hydra.overrides.task)
    folder, debug = Path(os.path.relpath(hydra.runtime.output_dir)), cfg.debug
    print(f"run {number}: {' '.join(overrides)}", flush=True)
    with requeued_when_preempted():  # around it all: it leaves by SystemExit
        try:
            if has_begun(folder):
                # Preempted, or a sweep that goes on: the run is in the middle, or done.
                config = resumed_config(folder, changes, config_dir, trusted=True)
                if not is_finished(folder, config.total_steps):
                    go_on(config, folder, ["trpo-run", f"resume={folder}", *changes])
            else:
                config = with_threads(to_config(cfg), threads or given_by_slurm())
                begin(config, folder, ["trpo-run", *overrides])
        except FOREIGN as error:
            return report(error, f"run {number}", debug=debug)
    return 0


def threads_per_run(launcher: Any, jobs: int) -> int | None:
    """The threads of each run for a launcher that starts several on this machine."""
    kind, cores = type(launcher).__name__, usable_cores()
    if kind == "JoblibLauncher":
        asked = launcher.joblib.get("n_jobs") or 1
        at_once = asked if asked > 0 else max(1, cores + 1 + asked)
    elif kind == "LocalLauncher":  # submitit's: all at once
        at_once = jobs
    else:
        return None
    return max(1, cores // min(at_once, jobs))


def given_by_slurm() -> int | None:
    """The cores that Slurm gives this job (hydra.launcher.cpus_per_task): not every cluster keeps
    a job from seeing the others."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(given) if given.isdecimal() else None


def _nothing(_: DictConfig) -> None:
    """Stands for the task while a launcher is only tried out."""
