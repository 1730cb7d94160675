"""The training loop: collect, estimate, update, fit, log, evaluate, checkpoint."""

from __future__ import annotations

import dataclasses
import os
from contextlib import chdir, closing, nullcontext
from pathlib import Path

from trpo_cli.config import Config, named_modules
from trpo_cli.distributed.processes import ALONE, Processes
from trpo_cli.errors import LostProcess, ToldElsewhere
from trpo_cli.runs.lock import Lock
from trpo_cli.system.known import remember
from trpo_cli.system.signals import Interrupted, Stop
from trpo_cli.training.build import Prepared
from trpo_cli.training.evaluation import Evaluator
from trpo_cli.training.session import Session, how_to_resume
from trpo_cli.training.trainer import Training


def train(
    config: Config | Prepared,
    run_dir: Path,
    command: list[str],
    *,
    resume: bool = False,
    processes: Processes = ALONE,
    lock: Lock | None = None,
) -> None:
    """Run one configuration to its end, in an empty run directory.

    resume: go on with the run in the directory, from its newest checkpoint, as if it had never
        stopped.
    processes: the processes that do so together; all call this.
    lock: of the directory, where the caller holds it.

    A signal lets the iteration end and the checkpoint be written, then raises `Interrupted`.
    Raises `UserError` before anything is written, `RunFailed` after that.
    """
    with processes.agreed(), chdir(os.curdir):  # and back: an environment may go elsewhere
        training = Training(config, processes)
    if processes.is_main:
        remember(named_modules(dataclasses.asdict(training.config)))
    processes.connect(training.parts.device)
    if not processes.is_main:
        return follow(training, run_dir)
    with closing(training):
        evaluator = Evaluator(training.config, training.threads)
        with (
            closing(evaluator),
            nullcontext() if lock else Lock(run_dir),  # the caller's outlives this
            Stop(deferred=True) as stop,
            Session(training, evaluator, run_dir, command, resume=resume) as session,
        ):
            processes.watch(stop)
            session.save_beginning()
            while True:
                if evaluator.due(training.step):
                    session.evaluate(stop)
                if training.step >= training.config.total_steps or stop.requested():
                    break
                if session.save_due():
                    session.save()
                session.log(training.iterate())
            session.save()
            session.conclude(stop)


def follow(training: Training, run_dir: Path) -> None:
    """What all processes but the first do; that one writes and prints."""
    run_dir = run_dir.absolute()  # an environment may change the folder
    try:
        with closing(training), Stop(deferred=True, quiet=True) as stop:
            training.processes.watch(stop)
            training.follow()
    except Interrupted as error:
        raise ToldElsewhere from error
    except LostProcess as error:
        advice = how_to_resume(run_dir, training.processes)
        raise LostProcess(f"{error} {advice} goes on from its last checkpoint.") from error
