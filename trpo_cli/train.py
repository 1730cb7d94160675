"""The training loop: collect, estimate, update, fit, log, evaluate, checkpoint."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from trpo_cli.config import Config
from trpo_cli.evaluate import Evaluator
from trpo_cli.runs.lock import Lock
from trpo_cli.runs.signals import Stop
from trpo_cli.session import Session
from trpo_cli.training import Training


def train(config: Config, run_dir: Path, command: list[str], *, resume: bool = False) -> None:
    """Run one configuration to its end, in an empty run directory.

    resume: go on with the run in the directory, from its newest checkpoint, as if it had never
        stopped.

    A signal lets the iteration end and the checkpoint be written, then raises `Interrupted`.
    Raises `UserError` before anything is written, `RunFailed` after that.
    """
    training = Training(config)
    evaluator = Evaluator(config, training.threads)
    with (
        closing(training),
        closing(evaluator),
        Lock(run_dir),
        Stop(deferred=True) as stop,
        Session(training, evaluator, run_dir, command, resume=resume) as session,
    ):
        while True:
            if evaluator.due(training.step):
                session.evaluate(stop)
            if training.step >= config.total_steps or stop.requested():
                break
            if session.save_due():
                session.save()
            session.log(training.iterate())
        session.save()
        session.conclude(stop)
