"""``-m``: every job is composed and checked first, then Hydra's sweeper and launcher run them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from trpo_cli.command.compose import CONFIG_NAME, compose, start_hydra, to_config
from trpo_cli.command.launch import (
    AUTO,
    OUTPUTS,
    check_run_dir,
    check_surroundings,
    check_writable,
    claim,
    launch,
    make,
)
from trpo_cli.command.overrides import check_overrides
from trpo_cli.command.report import report
from trpo_cli.config import Config
from trpo_cli.errors import UserError


def sweep(overrides: Sequence[str], config_dir: str | None, command: list[str]) -> int:
    """Run every combination; returns 0, or the exit status of the worst run."""
    hydra = start_hydra(config_dir)
    overrides = check_overrides(overrides)
    own = [o for o in overrides if o.lstrip("+~").startswith(("hydra.", "hydra/"))]
    task = [o for o in overrides if o not in own]
    for text in own:
        if OverridesParser.create().parse_override(text).is_sweep_override():
            raise UserError(f"{text}: Hydra's own settings cannot be swept over; give one value.")
    jobs = expand(hydra, task)
    check_jobs(hydra, own, jobs)
    master = _master(hydra, own, task, jobs)
    sweeper: Any = Plugins.instance().instantiate_sweeper(
        config=master,
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks()),
        task_function=partial(run_one, command=command),
    )
    # By name: scanning for plugins executes their modules again, so the class is another object.
    if type(sweeper).__name__ == BasicSweeper.__name__:
        if sweeper.params:  # an experiment's file may sweep as well
            jobs = expand(hydra, [*sweeper._parse_config(), *task])
            check_jobs(hydra, own, jobs)
        if not jobs:
            raise UserError(
                f"{' '.join(task)}: no runs to make. A glob that matches nothing gives none, and"
                " Hydra's basic sweeper cannot enumerate an interval; list the values: key=A,B."
            )
        print(f"{len(jobs)} runs", flush=True)
    _make_sweep_dir(master)
    return _worst(sweeper.sweep(arguments=task))


def expand(hydra: Hydra, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job, as Hydra's basic sweeper will enumerate them.

    Empty when there is an interval, which only another sweeper can draw values from.
    """
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = parser.parse_overrides(list(overrides))
    if any(o.is_sweep_override() and not o.is_discrete_sweep() for o in parsed):
        return []
    return BasicSweeper.split_arguments(parsed, None)[0]


def check_jobs(hydra: Hydra, own: Sequence[str], jobs: Sequence[Sequence[str]]) -> None:
    """Compose and check each job before anything is written; the error names the job."""
    folders, surroundings = set[Path](), dict[str, tuple[int, Config]]()
    for number, job in enumerate(jobs):
        with _naming(number, job):
            config, settings = compose(hydra, [*own, *job])
            parts = config.env, config.device, config.algo.name, config.policy, config.value
            surroundings.setdefault(str(parts), (number, config))
            with open_dict(settings):
                settings.job.num = settings.job.id = number
            folder = Path(settings.sweep.dir, settings.sweep.subdir)
            if folder in folders:
                raise UserError(
                    f"hydra.sweep.subdir={settings.sweep.subdir} is an earlier run's folder too."
                )
            folders.add(folder)
            if settings.sweep.dir != AUTO:
                check_run_dir(folder, "hydra.sweep.dir")
    for number, config in surroundings.values():
        with _naming(number, jobs[number]):
            check_surroundings(config)


@contextlib.contextmanager
def _naming(number: int, job: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        which = f" ({' '.join(job)})" if job else ""
        raise UserError(f"run {number} of the sweep{which}: {error}") from error


def run_one(cfg: DictConfig, command: list[str]) -> int:
    """Hydra's task function: one run. Its failure is told at once; the sweep goes on."""
    hydra = HydraConfig.get()
    config = to_config(cfg)
    print(f"run {hydra.job.num}: {' '.join(hydra.overrides.task)}", flush=True)
    folder = os.path.relpath(hydra.runtime.output_dir)
    try:
        launch(config, folder, command, checked=True)
    except Exception as error:
        return report(error, f"run {hydra.job.num}", debug=config.debug)
    return 0


def _master(
    hydra: Hydra, own: Sequence[str], task: Sequence[str], jobs: Sequence[Sequence[str]]
) -> DictConfig:
    """The configuration from which the sweeper and the launcher are made.

    It is the first job's: with Hydra's own rule, which leaves swept groups at their defaults,
    `-m algo=ppo,vpg algo.learning_rate=1e-3` fails because the default algorithm has no such key.
    """
    if jobs:
        first = jobs[0]
    else:
        parser = OverridesParser.create()
        first = [o for o in task if not parser.parse_override(o).is_sweep_override()]
        compose(hydra, [*own, *first])  # for its errors
    master = hydra.compose_config(
        config_name=CONFIG_NAME,
        overrides=[*own, "hydra.mode=MULTIRUN", *first],
        run_mode=RunMode.MULTIRUN,
        with_log_configuration=False,
    )
    master.hydra.overrides.task = list(task)
    return master


def _make_sweep_dir(master: DictConfig) -> None:
    if master.hydra.sweep.dir != AUTO:
        make(Path(master.hydra.sweep.dir), "hydra.sweep.dir")
        return
    check_writable(OUTPUTS, "outputs folder")
    moment = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = claim(OUTPUTS / "multirun" / moment)
    master.hydra.sweep.dir = str(folder)
    master.hydra.overrides.hydra.append(f"hydra.sweep.dir={folder.as_posix()}")


def _worst(results: Any) -> int:
    """The highest exit status among the jobs' return values (batches of them, from Hydra)."""
    jobs = [job for batch in results or () for job in batch if hasattr(job, "return_value")]
    statuses = [status for job in jobs if isinstance(status := job.return_value, int)]
    failed = sum(status != 0 for status in statuses)
    if failed:
        print(f"trpo-run: {failed} of {len(statuses)} runs failed.", file=sys.stderr)
    return max(statuses, default=0)
