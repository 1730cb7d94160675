"""A run directory while a run is in it: lock, manifest, rows, checkpoints, display."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from trpo_cli.config import config_to_yaml, loggers_of
from trpo_cli.distributed.processes import Processes
from trpo_cli.errors import CannotWrite, RunFailed, UserError, describe
from trpo_cli.runs import chain, checkpoint, manifest
from trpo_cli.runs.crash import write_crash
from trpo_cli.runs.cut import Moment, cut, wrong
from trpo_cli.runs.directory import CONFIG, MANIFEST, write_atomically
from trpo_cli.runs.logger import MetricsLogger, append_eval
from trpo_cli.settings import walk
from trpo_cli.system.clock import due
from trpo_cli.system.signals import Stop
from trpo_cli.terminal.display import is_quiet
from trpo_cli.terminal.progress import Progress
from trpo_cli.trackers.start import Trackers
from trpo_cli.training import facts, initial
from trpo_cli.training.evaluation import Abandoned, Evaluator
from trpo_cli.training.filming import Filmer
from trpo_cli.training.resumption import (
    check_origin,
    check_total,
    moment_of,
    rows_of_a_new_beginning,
    words_of_resumption,
)
from trpo_cli.training.trainer import Training


class Session:
    """Everything that a run writes and prints, from its start or resumption to its end.

    The order of writing makes a kill harmless at any moment: rows reach the disk before the
    checkpoint that counts them, and a resumption cuts what lies behind its checkpoint.
    """

    def __init__(
        self,
        training: Training,
        evaluator: Evaluator,
        run_dir: Path,
        command: Sequence[str],
        *,
        resume: bool,
    ) -> None:
        """Raises `UserError`, having changed nothing, when the directory cannot be used."""
        self.training, self.evaluator = training, evaluator
        shown, run_dir = run_dir, run_dir.absolute()  # an environment may change the folder
        self.run_dir = run_dir
        self.config = training.config
        self._filmer = Filmer(training.config, run_dir)
        self._evaluation: dict[str, Any] | None = None
        self._checkpoint: Path | None = None
        if not resume and (run_dir / MANIFEST).exists():
            raise UserError(f"There is a run in {run_dir} already; choose another directory.")
        self._rows: chain.Known | None = chain.begin()
        notes = self._restore() if resume else []
        self._saved, self._saved_at = self._moment(), time.monotonic()
        origin: dict[str, Any] | None = None
        if self.config.init is not None and self._checkpoint is None:
            known = manifest.read(run_dir).get("init") if resume else None
            origin, words = initial.begin(training, known)
            notes.append(words)
            self._saved = (-1, -1)
        told = facts.for_manifest(training)
        told |= {"command": command, "rows": self._rows}
        config = config_to_yaml(self.config).encode()
        if resume:
            self._manifest = manifest.resume(run_dir, step=training.step, config=config, **told)
            notes += self._cut()
        write_atomically(run_dir / CONFIG, config)
        if not resume:
            self._manifest = manifest.start(run_dir, init=origin, **told)
        hyperparameters = {key: value for key, _, value in walk(self.config)}
        start = self._rows["start"] if self._rows is not None else None
        self._start: str | None = start
        self._logger = MetricsLogger(run_dir, hyperparameters, start)
        self._progress = Progress(self.config, facts.for_banner(training), shown)
        self._progress.banner()
        for note in notes:
            self._progress.note(note)
        names = loggers_of(self.config.logger)
        if names:
            self._manifest.tracker_id()
        self._trackers = Trackers(names, run_dir, self._say)

    def _say(self, text: str) -> None:
        if not is_quiet():
            self._progress.note(text)

    def _restore(self) -> list[str]:
        """Put the newest whole checkpoint into the training; returns what to say about it."""
        training, total, run_dir = self.training, self.config.total_steps, self.run_dir
        known = manifest.read(run_dir)
        if not checkpoint.exists(run_dir):
            self._rows = rows_of_a_new_beginning(run_dir, known)
            return ["no checkpoint was written yet: the run starts again from its seed"]
        self._checkpoint = folder = checkpoint.latest(
            run_dir, lambda state: wrong(run_dir, moment_of(state))
        )
        arrays, state = checkpoint.load(folder)
        self._rows = state.get("rows")
        check_origin(run_dir, known, self._rows)
        try:
            restarted = training.load_state(arrays, state)
            self.evaluator.load_state(state["evaluation"], training.step)
        except UserError as error:
            raise UserError(f"{folder}: {error}") from error
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder} holds no state to go on from: {error}.") from error
        moment = moment_of(state)
        check_total(run_dir, known, moment, total)
        self._cut_moment = moment
        return words_of_resumption(run_dir, known, training.step, self._rows, restarted)

    def _cut(self) -> list[str]:
        if self._checkpoint is None:
            return cut(self.run_dir, Moment(0, 0, 0, evaluated=True, rows=self._rows))
        notes, best = cut(self.run_dir, self._cut_moment), None
        if self.evaluator.best is not None:
            best = self.evaluator.best["step"]
            if damage := checkpoint.damage(checkpoint.path(self.run_dir, best)):
                notes.append(f"the best checkpoint cannot be used any more. {damage}")
        checkpoint.go_back(self.run_dir, self._checkpoint, best)
        kept = [] if best is None else [best]  # a kill may have come before the last pruning
        checkpoint.prune(self.run_dir, self.config.checkpoint.keep, also=kept)
        return notes

    def log(self, row: dict[str, Any]) -> None:
        """Write and show the metrics of one iteration."""
        self._logger.write(row)
        self._progress.update(row)
        self._trackers.check()

    def evaluate(self, stop: Stop) -> None:
        """Evaluate in training; the best policy so far gets its checkpoint. A run that is to stop
        gives the evaluation up, and makes it when it is resumed."""
        evaluator = self.evaluator
        try:
            record = self._evaluated("evaluation", stop)
        except Abandoned:
            return
        self._progress.evaluated(record)
        if evaluator.note(record):
            self.save()

    def _evaluated(self, name: str, stop: Stop, announced: str = "") -> dict[str, Any]:
        """Evaluate the policy as it is; its record, once it is written, and so are its videos.
        Raises `Abandoned` when the run is to stop: a resumption makes all of it."""
        from trpo_cli.samplers.whole_episodes import Watched

        training, filmer, step = self.training, self._filmer, self.training.step
        watched = Watched(filmer.count)
        with self._progress.evaluation(name, self._episodes, announced) as told:
            record = self.evaluator.run(
                training.policy, step, abandon=stop.requested, told=told, watched=watched
            )
        episodes = list(zip(record["seeds"], watched.episodes(), record["returns"], strict=False))
        if episodes:
            with self._progress.evaluation("videos", len(episodes)) as told:
                filmer.record(step, episodes, stop.requested, told)
        self._logger.write_eval(record, filmer.gif)
        return record

    def save_beginning(self) -> None:
        """A run that begins with another's policy keeps it: it needs the other run no more."""
        if self._saved[0] < 0:
            self.save()

    def save_due(self) -> bool:
        """Whether checkpoint.every or checkpoint.minutes asks for a checkpoint."""
        settings = self.config.checkpoint
        waited = time.monotonic() - self._saved_at
        late = settings.minutes > 0 and waited >= 60.0 * settings.minutes
        return late or due(settings.every, self._saved[0], self.training.step)

    def save(self) -> None:
        """Write the checkpoint of this step, unless it is there; `last` points to it."""
        training, evaluator, step = self.training, self.evaluator, self.training.step
        if self._saved == self._moment():
            return
        arrays, state = training.state()
        self._logger.flush()
        state |= {"evaluation": evaluator.state(), "rows": (rows := self._logger.rows())}
        checkpoint.save(checkpoint.path(self.run_dir, step), arrays, state)
        best = [evaluator.best["step"]] if evaluator.best else []
        if step in best:
            checkpoint.point(self.run_dir, "best", step)
        checkpoint.point(self.run_dir, "last", step)
        self._manifest.saved(step, rows)
        checkpoint.prune(self.run_dir, self.config.checkpoint.keep, also=best)
        self._saved, self._saved_at = self._moment(), time.monotonic()

    def _moment(self) -> tuple[int, int]:
        """What tells two checkpoints apart."""
        return self.training.step, self.evaluator.rows

    @property
    def _episodes(self) -> int:
        """Of each evaluation."""
        episodes = self.config.eval.episodes
        assert episodes is not None, "settled before"
        return episodes

    def conclude(self, stop: Stop) -> None:
        """Evaluate the last policy, and once more, on fresh seeds, the best one.

        Raises `Interrupted` when the run is to stop.
        """
        stop.check()
        try:
            self._conclude(stop)
        except Abandoned:
            stop.check()

    def _conclude(self, stop: Stop) -> None:
        training, evaluator = self.training, self.evaluator
        if self._episodes == 0:
            return
        if evaluator.last is not None and evaluator.last["step"] == training.step:
            self._evaluation = evaluator.last
        else:
            how = "the most likely" if self.config.eval.deterministic else "sampled"
            announced = f"with {how} actions"
            self._evaluation = self._evaluated("final evaluation", stop, announced)
        if evaluator.best is not None:
            folder = checkpoint.path(self.run_dir, evaluator.best["step"])
            name = "evaluation of the best checkpoint"
            try:
                with self._progress.evaluation(name, self._episodes) as told:
                    record = evaluator.run_best(folder, stop.requested, told)
            except UserError as error:  # the run itself is as good without it
                print(
                    f"warning: the best checkpoint is not evaluated again. {error}", file=sys.stderr
                )
                return
            append_eval(self.run_dir, record, self._start)
            self._progress.note(
                f"best checkpoint (step {record['step']:,}) on fresh seeds: "
                f"{record['return_mean']:.4g} ± {record['return_std']:.4g}"
            )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        status: str = "finished"
        reason: str | None = None
        failure: RunFailed | None = None
        if isinstance(error, KeyboardInterrupt):
            status, reason = "interrupted", str(error) or "SIGINT"
        elif error is not None:
            status, reason = "failed", describe(error)
            if not isinstance(error, UserError):
                failure = self._failure(error)
        training = self.training
        self._filmer.close()
        self._logger.close(status == "finished")
        self._progress.summary(
            status, reason, self._evaluation, training.clock.total, training.failed_simulations
        )
        try:
            self._logger.check_place()
            self._manifest.finish(status, reason, training.step, self._logger.rows())
        except CannotWrite as problem:
            if error is None:
                raise
            print(f"warning: {problem}", file=sys.stderr)  # the first failure is the one to tell
        finally:
            self._trackers.close(hurry=status != "finished")
        if failure is not None:
            raise failure from error

    def _failure(self, error: BaseException) -> RunFailed:
        """The failure that says what is left of the run; a crash folder is written."""
        step, good = self._saved[0], checkpoint.path(self.run_dir, self._saved[0])
        left, known = "No checkpoint was written before that.", dict[str, Any]()
        if good.is_dir():
            go_on = how_to_resume(self.run_dir, self.training.processes)
            left = f"The last good checkpoint is {good}: {go_on} goes on from step {step:,}."
            known["checkpoint"] = good.name
        known |= {"step": self.training.step, "iteration": self.training.iteration + 1}
        folder = write_crash(self.run_dir, error, known, config_to_yaml(self.config))
        seen = f" What it failed on is in {folder}." if folder else ""
        return RunFailed(f"{describe(error)} {left}{seen}")


def how_to_resume(run_dir: Path, processes: Processes) -> str:
    """The command that goes on with a run."""
    return f"{processes.command} resume={shlex.quote(str(run_dir))}"
