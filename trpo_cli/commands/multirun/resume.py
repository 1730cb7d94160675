"""``resume=SWEEP_DIR``: what is done stays, what was interrupted goes on, the rest begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.hydra import Hydra
from omegaconf import DictConfig

from trpo_cli.commands.hydra.alike import Alike
from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.hydra.overrides import check_overrides
from trpo_cli.commands.multirun.powers import Powers, of_sweep
from trpo_cli.commands.multirun.start import (
    check_all_surroundings,
    make_launcher,
    make_master,
    naming,
    set_sweep_dir,
    split_own,
)
from trpo_cli.commands.resume import refused, resumed_config
from trpo_cli.config import Config, may_change
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import check_writable
from trpo_cli.runs.lock import Lock
from trpo_cli.runs.whole import what_is_wrong
from trpo_cli.sweeps import index
from trpo_cli.sweeps.index import Index, Job
from trpo_cli.sweeps.look import has_begun, is_finished
from trpo_cli.sweeps.overview import FINISHED, Row

LAUNCHER = ("hydra/launcher", "hydra.launcher.")


def resume_sweep(
    sweep_dir: Path, overrides: Sequence[str], config_dir: str | None, *, trusted: bool = False
) -> int:
    """Go on with a sweep; returns 0, or the exit status of the worst run.

    overrides: settings that a resumed run may change, for all its runs, and those of the launcher.
    trusted: whether it may import and launch what no sweep of this user's has.
    """
    listed, powers, own, changes = checked_index(sweep_dir, overrides, config_dir, trusted)
    check_writable(sweep_dir, "resume")
    with Lock(sweep_dir, "sweep"):
        hydra = start_hydra(listed.config_dir)
        rows, todo = list[Row](), list[tuple[int, Sequence[str], Config]]()
        alike = Alike(hydra, recorded=True)
        for job in listed.jobs:
            config = config_of_job(alike, job, sweep_dir, listed, changes, trusted)
            row = Row(job.number, job.name, sweep_dir / job.folder, config.total_steps)
            rows.append(row)
            if is_finished(row.folder, row.total):
                row.state = FINISHED
                if wrong := what_is_wrong(row.folder):
                    print(f"warning: run {job.number} is finished, but {wrong}", file=sys.stderr)
            else:
                todo.append((job.number, job.differs, config))
        if not todo:
            raise UserError(
                f"The sweep in {sweep_dir} is finished: all its {len(rows)} runs are. Give a "
                "larger total_steps=... to train on."
            )
        check_all_surroundings(todo, recorded=True)
        powers.remember()
        threads = max((c.threads for _, _, c in todo if c.threads), default=listed.threads)
        master = master_of(hydra, listed, own, sweep_dir)
        launcher = make_launcher(hydra, master, len(todo), threads)
        return launcher.run(listed, sweep_dir, rows, changes)


def checked_index(
    sweep_dir: Path, overrides: Sequence[str], config_dir: str | None, trusted: bool
) -> tuple[Index, Powers, list[str], list[str]]:
    """The index of a sweep, what going on with it gives to whoever wrote it, and the overrides:
    Hydra's and those of the runs. Raises `UserError` for what may not be."""
    listed = index.read(sweep_dir)
    powers = of_sweep(listed)
    if not trusted:
        powers.check(str(sweep_dir / index.INDEX))
    own, changes = split_own(check_overrides(overrides))
    for text in [*own, *changes]:
        key = text.partition("=")[0].lstrip("+")
        if not may_change(key) and not key.startswith(LAUNCHER):
            raise refused(text, key)
    if config_dir is not None and str(Path(config_dir).resolve()) != listed.config_dir:
        raise UserError(
            f"--config-dir {config_dir}: a sweep goes on with the YAML files it began with; leave "
            "it out."
        )
    return listed, powers, own, changes


def master_of(hydra: Hydra, listed: Index, own: Sequence[str], sweep_dir: Path) -> DictConfig:
    """The configuration of the launcher, with Hydra's settings that are given now."""
    given, first = _settings_of_hydra(listed, own), listed.jobs[0].overrides
    compose(hydra, [*given, *first], recorded=True)  # for its errors
    master = make_master(hydra, given, first, first)
    set_sweep_dir(master, sweep_dir)
    return master


def config_of_job(
    alike: Alike,
    job: Job,
    sweep_dir: Path,
    listed: Index,
    changes: Sequence[str],
    trusted: bool,
) -> Config:
    """The configuration that a job has, or will have, with the changes."""
    folder = sweep_dir / job.folder
    with naming(job.number, job.differs):
        if has_begun(folder):
            return resumed_config(folder, changes, listed.config_dir, trusted=trusted)
        return alike.compose([*job.overrides, *changes])[0]


def _settings_of_hydra(listed: Index, given: Sequence[str]) -> list[str]:
    """Hydra's settings as they were, but for the folder, which may have moved, and with those of
    the launcher that are given now."""
    keys = {text.partition("=")[0].lstrip("+") for text in given}
    stay = [
        text
        for text in listed.hydra
        if (key := text.partition("=")[0].lstrip("+")) not in keys
        and key != "hydra.sweep.dir"
        and not ("hydra/launcher" in keys and key.startswith("hydra.launcher."))
    ]
    return [*stay, *given]
