"""One run: what is checked before anything is written, the seed, the directory, then training."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trpo_cli.config import Config, check_read, config_to_yaml, loggers_of
from trpo_cli.distributed.processes import ALONE, Processes, processes_here
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import OUTPUTS, moment
from trpo_cli.runs.place import Place, take, take_unnamed
from trpo_cli.system.machine import usable_cores

if TYPE_CHECKING:
    from trpo_cli.training.build import Prepared

AUTO = "auto"


def check_surroundings(
    config: Config, words: Sequence[str] = (), *, begun: bool = False
) -> Prepared:
    """Raise `UserError` for what this machine, the environment or the networks chosen for it
    cannot do, and for a setting among the words of the command line that nothing would read;
    writes nothing. Returns what a run of the configuration is built from.

    begun: the run has begun, so that what it began with does not matter any more."""
    from trpo_cli.trackers.base import check as check_loggers
    from trpo_cli.training.build import prepare
    from trpo_cli.training.filming import check_video

    check_loggers(loggers_of(config.logger))
    with contextlib.chdir(os.curdir):  # and back: an environment may go elsewhere
        prepared = prepare(config)
        check_video(prepared.config)
    said = [word.lstrip("+").partition("=")[0] for word in words]
    continuous = type(prepared.simulator.action_space).__name__ == "Box"
    check_read(prepared.config, said, continuous)
    if config.init is not None and not begun:
        from trpo_cli.training.initial import check

        check(prepared.config, prepared.simulator)
    return prepared


def warn_threads(threads: int | None) -> None:
    """More threads than cores make small networks many times slower, silently."""
    cores, processes = usable_cores(), processes_here()
    if threads is not None and threads * processes > cores:
        times = f" in each of {processes} processes" if processes > 1 else ""
        print(
            f"warning: threads={threads}{times} is more than the {cores} cores here; "
            "runs get slower.",
            file=sys.stderr,
        )


def default_run_dir(config: Config) -> Path:
    """outputs/<env>/<algo>/<sampler>/<date_time>_<seed>_<short hash of the configuration>."""
    safe = re.sub(r"[^\w.-]+", "_", config.env.id).strip("._") or "env"
    digest = hashlib.sha256(config_to_yaml(config).encode()).hexdigest()[:6]
    name = f"{moment()}_{config.seed}_{digest}"
    return OUTPUTS / safe / config.algo.name / config.sampler.name / name


def launch(
    config: Config,
    run_dir: str,
    command: list[str],
    *,
    words: Sequence[str] = (),
    processes: Processes = ALONE,
) -> None:
    """Check, seed, make the directory and train. `run_dir` "auto" gives the default one.

    words: the overrides that nobody has checked yet, see `check_surroundings`; those of a sweep
        were when it began.
    processes: the processes that do so together; the first one seeds and makes the directory.
    """
    with processes.agreed():
        if config.resume is not None:
            raise UserError(f"resume={config.resume} is written on the command line only.")
        prepared = check_surroundings(config, words)
    drawn = config.seed is None
    if drawn:
        seed = processes.broadcast(secrets.randbits(31))
        config = dataclasses.replace(config, seed=seed)
        settled = dataclasses.replace(prepared.config, seed=seed)
        prepared = dataclasses.replace(prepared, config=settled)
    if processes.is_main:
        warn_threads(config.threads)
    from trpo_cli.training.loop import train  # heavy: no error above should pay for it

    with contextlib.ExitStack() as stack:
        places = list[Place]()

        def take_place() -> Path:
            places.append(stack.enter_context(make_run_dir(config, run_dir)))
            return places[0].folder

        folder = processes.first(take_place)
        if drawn and processes.is_main:
            print(f"seed={config.seed} (drawn)", flush=True)
        lock = places[0].lock if places else None
        train(prepared, folder, command, processes=processes, lock=lock)


def make_run_dir(config: Config, run_dir: str) -> Place:
    """The folder of a new run."""
    if run_dir == AUTO:
        return take_unnamed(default_run_dir(config))
    return take(Path(run_dir), "hydra.run.dir")
