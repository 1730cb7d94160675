"""``-m``: every job is composed and checked first, then a launcher runs them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from trpo_cli.commands.hydra.alike import Alike
from trpo_cli.commands.hydra.compose import CONFIG_NAME, compose, start_hydra
from trpo_cli.commands.hydra.launcher_schema import is_workers
from trpo_cli.commands.hydra.overrides import check_overrides, quoted
from trpo_cli.commands.launch import AUTO, check_surroundings
from trpo_cli.commands.multirun.local import LocalLauncher
from trpo_cli.commands.multirun.plugins import PluginLauncher, refuse_interpolation
from trpo_cli.commands.multirun.powers import of_sweep
from trpo_cli.config import Config
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import OUTPUTS, check_run_dir, moment
from trpo_cli.runs.place import Place, take, take_unnamed
from trpo_cli.sweeps import index
from trpo_cli.sweeps.names import link_runs
from trpo_cli.sweeps.overview import Row

SEVERAL = 10
"""With more runs than this, checking them takes so long that a person is told."""


@dataclass(frozen=True)
class Checked:
    """A job that may run. subdir: of its run directory below that of the sweep."""

    config: Config
    subdir: str


def sweep(overrides: Sequence[str], config_dir: str | None, command: list[str]) -> int:
    """Run every combination; returns 0, or the exit status of the worst run."""
    hydra = start_hydra(config_dir)
    own, task = split_own(check_overrides(overrides))
    jobs, checked, master = combinations(hydra, own, task)
    threads = max((c.config.threads for c in checked if c.config.threads), default=None)
    launcher = make_launcher(hydra, master, len(jobs), threads)
    subdirs = [job.subdir for job in checked]
    listed = index.new(command, config_dir, own, launcher.threads, jobs, subdirs)
    with take_sweep_dir(master) as place:
        folder = place.folder
        listed.write(folder)
        link_runs(folder, listed.jobs, [good.config for good in checked])
        of_sweep(listed).remember()
        rows = [
            Row(job.number, job.name, folder / job.folder, good.config.total_steps)
            for job, good in zip(listed.jobs, checked, strict=True)
        ]
        return launcher.run(listed, folder, rows)


def combinations(
    hydra: Hydra, own: Sequence[str], task: Sequence[str]
) -> tuple[list[list[str]], list[Checked], DictConfig]:
    """The overrides of every combination, all of them checked, and the configuration of sweeper
    and launcher. own: Hydra's settings; task: those of the runs.

    Raises `UserError` for one that could not run, and where there is none.
    """
    jobs = expand(hydra, task)
    checked = check_jobs(hydra, own, jobs)
    master = make_master(hydra, own, task, jobs[0] if jobs else None)
    if not str(master.hydra.sweeper._target_).endswith(f".{BasicSweeper.__name__}"):
        raise UserError(
            f"hydra/sweeper={master.hydra.runtime.choices['hydra/sweeper']}: a sweep here takes "
            "every combination of the values given, as Hydra's basic sweeper does; trpo-tune "
            "searches for good ones."
        )
    if params := master.hydra.sweeper.params:  # an experiment's file may sweep as well
        jobs = expand(hydra, [*(f"{key}={value}" for key, value in params.items()), *task])
        checked = check_jobs(hydra, own, jobs)
    if not jobs:
        raise UserError(
            f"{' '.join(task)}: no runs to make. A glob that matches nothing gives none, and"
            " an interval cannot be enumerated: list the values, key=A,B, or search with trpo-tune."
        )
    return jobs, checked, master


def make_launcher(
    hydra: Hydra, master: DictConfig, jobs: int, threads: int | None
) -> LocalLauncher | PluginLauncher:
    """What will run the jobs, with `threads` threads each (None: their share of the cores).

    Raises `UserError` for a launcher, or settings of one, that cannot be used.
    """
    if is_workers(master):
        return LocalLauncher(master, jobs, threads)
    return PluginLauncher(hydra, master, jobs, threads)


def split_own(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's own settings among the overrides, and those of the runs."""
    own = [o for o in overrides if o.lstrip("+~").startswith(("hydra.", "hydra/"))]
    for text in own:
        if OverridesParser.create().parse_override(text).is_sweep_override():
            raise UserError(f"{text}: Hydra's own settings cannot be swept over; give one value.")
    return own, [o for o in overrides if o not in own]


def expand(hydra: Hydra, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job: every combination, the last swept key changing fastest.

    Empty when there is an interval, which has no list of values.
    """
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = parser.parse_overrides(list(overrides))
    if any(o.is_sweep_override() and not o.is_discrete_sweep() for o in parsed):
        return []
    jobs = BasicSweeper.split_arguments(parsed, None)[0]
    # Hydra escapes the colon of module:Name, which needs it in a list only.
    return [[re.sub(r"^([\w./]+=[\w.]+)\\:", r"\1:", text) for text in job] for job in jobs]


def check_jobs(hydra: Hydra, own: Sequence[str], jobs: Sequence[Sequence[str]]) -> list[Checked]:
    """Compose and check each job before anything is written; the error names the job."""
    if len(jobs) > SEVERAL:  # each takes a hundredth of a second, of another kind a tenth
        print(f"checking {len(jobs)} runs", flush=True)
    folders, checked, alike = set[Path](), list[Checked](), Alike(hydra)
    for number, job in enumerate(jobs):
        with naming(number, job):
            config, settings = alike.compose([*own, *job])
            with open_dict(settings):
                settings.job.num = settings.job.id = number
            folder, subdir = Path(settings.sweep.dir, settings.sweep.subdir), settings.sweep.subdir
            if Path(subdir).is_absolute() or not Path(subdir).parts or ".." in Path(subdir).parts:
                raise UserError(
                    f"hydra.sweep.subdir={subdir} is no folder inside that of the sweep; each run "
                    "needs one of its own, such as ${hydra.job.num}."
                )
            if folder in folders:
                raise UserError(
                    f"hydra.sweep.subdir={settings.sweep.subdir} is an earlier run's folder too."
                )
            folders.add(folder)
            if settings.sweep.dir != AUTO:
                _check_sweep_dir(Path(settings.sweep.dir))
                check_run_dir(folder, "hydra.sweep.dir")
            checked.append(Checked(config, str(settings.sweep.subdir)))
    check_all_surroundings(
        (number, job, good.config)
        for number, (job, good) in enumerate(zip(jobs, checked, strict=True))
    )
    return checked


def _check_sweep_dir(sweep_dir: Path, key: str = "hydra.sweep.dir") -> None:
    if index.is_sweep(sweep_dir):
        raise UserError(
            f"{key}={sweep_dir} holds a sweep already: trpo-run resume={sweep_dir} goes on with "
            "it. Give another folder for a new one."
        )


def check_all_surroundings(
    jobs: Iterable[tuple[int, Sequence[str], Config]], recorded: bool = False
) -> None:
    """`check_surroundings` once for all jobs of a kind; the error names the first of them.

    recorded: see `compose`.
    """
    kinds = dict[str, tuple[int, Sequence[str], Config]]()
    for number, job, config in jobs:
        networks = config.policy, config.value, config.init
        parts = config.env, config.device, config.algo.name, *networks, config.logger
        kinds.setdefault(str(parts), (number, job, config))
    for number, job, config in kinds.values():
        with naming(number, job):
            check_surroundings(config, () if recorded else job, begun=recorded)


@contextlib.contextmanager
def naming(number: int, job: Sequence[str]) -> Iterator[None]:
    """A block whose errors name the job."""
    try:
        yield
    except UserError as error:
        which = f" ({' '.join(job)})" if job else ""
        raise UserError(f"run {number} of the sweep{which}: {error}") from error


def make_master(
    hydra: Hydra, own: Sequence[str], task: Sequence[str], first: Sequence[str] | None
) -> DictConfig:
    """The configuration from which the sweeper and the launcher are made.

    It is the first job's: with Hydra's own rule, which leaves swept groups at their defaults,
    `-m algo=ppo,vpg algo.learning_rate=1e-3` fails because the default algorithm has no such key.
    """
    if first is None:
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


def take_sweep_dir(master: DictConfig) -> Place:
    """The folder of a new sweep, made and locked."""
    if master.hydra.sweep.dir != AUTO:
        return take(Path(master.hydra.sweep.dir), "hydra.sweep.dir", "sweep", _check_sweep_dir)
    place = take_unnamed(OUTPUTS / "multirun" / moment(), "sweep")
    set_sweep_dir(master, place.folder)
    return place


def set_sweep_dir(master: DictConfig, folder: Path) -> None:
    """The folder of a sweep, in the configuration that its launcher goes by.

    Raises `UserError` for a path that a launcher of Hydra's would take for something else.
    """
    if not is_workers(master):
        refuse_interpolation(folder)
    master.hydra.sweep.dir = str(folder)
    master.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(folder.as_posix())}")
