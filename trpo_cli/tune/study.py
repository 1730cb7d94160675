"""The search itself: which settings to try next, which trials to give up. Optuna behind it.

Its journal is a file that is only ever appended to, so a search that was killed goes on.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.tune.journal import START, Journal
from trpo_cli.tune.points import FIRST, HALVING, MEDIAN
from trpo_cli.tune.space import Dimension, draw

JOURNAL, TRIALS = "journal.log", "trials"
STARTUP = 10
"""Trials at random before any are chosen by what others gave."""
PRUNING_STARTUP = 5
"""Trials that are never given up: before that a median says little."""


@dataclass
class Trial:
    """A trial in progress.

    number: from 0. settings: key -> value. reported: the numbers of the points at which its worth
    is known. finals: the final evaluation of each seed that is done, by its place among the seeds.
    begun: how many seeds have begun. running: the places of those that run.
    """

    number: int
    settings: dict[str, Any]
    reported: set[int]
    finals: dict[int, float] = field(default_factory=dict)
    begun: int = 0
    running: set[int] = field(default_factory=set)

    def first_finals(self) -> list[float]:
        """Of the seeds that are done, up to the first one that is not."""
        done = itertools.takewhile(self.finals.__contains__, itertools.count())
        return [self.finals[place] for place in done]


@dataclass(frozen=True)
class Record:
    """A trial as the journal has it. state: complete, pruned, failed or running. value: None unless
    complete. finals: of its seeds that were done. why: of a failed one. left: of one that was given
    up, the number of the point where, and what it was worth there."""

    number: int
    state: str
    settings: dict[str, Any]
    value: float | None
    finals: list[float]
    why: str
    left: tuple[int, float] | None = None


class Search:
    """A study in a folder, created or continued.

    sampler: tpe (tree-structured Parzen estimator, Bergstra et al. 2011, without the trials that
    still run: the constant liar takes them for bad) or random. prune: how trials are given up, see
    `trpo_cli.tune.points`. seed: of the draws. start: the digits with which the chain of its
    journal begins. candidates: settings to try first, in this order.
    """

    def __init__(
        self,
        folder: Path,
        space: list[Dimension],
        sampler: str,
        prune: str,
        seed: int,
        start: str = START,
        candidates: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Raises `UserError` when the journal is not as it was written; nothing changes then."""
        optuna = import_optuna()
        self._optuna, self._space = optuna, space
        self.journal = Journal(folder / JOURNAL, start)
        self._study = self._load(optuna.storages.JournalStorage(self.journal), folder / TRIALS)
        # Draws of a continued search must not repeat those that it began with.
        seed = (seed + 1000003 * len(self._study.trials)) % 2**32
        samplers = optuna.samplers
        self._study.sampler = (
            samplers.RandomSampler(seed=seed)
            if sampler == "random"
            else samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True)
        )
        self._study.pruner = self._pruner(prune)
        self._open: dict[int, Any] = {}
        with self.journal.together():
            for candidate in candidates[len(self._study.trials) :]:
                self._study.enqueue_trial(dict(candidate))

    def _pruner(self, prune: str) -> Any:
        pruners = self._optuna.pruners
        if prune == MEDIAN:
            return pruners.MedianPruner(n_startup_trials=PRUNING_STARTUP)
        if prune == HALVING:
            return pruners.SuccessiveHalvingPruner(min_resource=FIRST, reduction_factor=2)
        return pruners.NopPruner()

    def _load(self, storage: Any, folder: Path) -> Any:
        """The study in the journal. folder: of the trials; one that has a folder there was in the
        journal with all its settings before it had one."""
        begun = bool(self.journal.read_logs(0))
        study = self._optuna.load_study(study_name="tune", storage=storage) if begun else None
        trials = study.get_trials(deepcopy=False) if study else []
        keys = {dimension.key for dimension in self._space}
        for path in sorted(folder.glob("[0-9]*")):
            if not (path.is_dir() and path.name.isdecimal()):
                continue
            number = int(path.name)
            if number >= len(trials) or not keys <= trials[number].params.keys():
                raise UserError(
                    f"{folder.parent}: the journal ends before trial {number}, which has a folder, "
                    f"{path}. Put the original journal back, or move that folder away."
                )
        return study or self._optuna.create_study(
            storage=storage, study_name="tune", direction="maximize"
        )

    def ask(self) -> Trial:
        """A new trial."""
        return self._begin(self._study.ask())

    def unfinished(self) -> list[Trial]:
        """The trials that were running when the search was interrupted."""
        running = self._optuna.trial.TrialState.RUNNING
        frozen = self._study.get_trials(deepcopy=False, states=[running])
        make = self._optuna.trial.Trial
        return [self._begin(make(self._study, one._trial_id)) for one in frozen]

    def _begin(self, trial: Any) -> Trial:
        self._open[trial.number] = trial
        settings = draw(self._space, trial)
        known = self._study.trials[trial.number].intermediate_values
        return Trial(trial.number, settings, set(known))

    def count(self) -> int:
        """All trials that have begun."""
        return len(self._begun())

    def _begun(self) -> list[Any]:
        waiting = self._optuna.trial.TrialState.WAITING
        return [t for t in self._study.get_trials(deepcopy=False) if t.state != waiting]

    def report(self, trial: Trial, point: int, value: float, done: bool = False) -> bool:
        """Note what a trial is worth at a point, for the others too; whether it is given up there.

        done: all its seeds are, so that it stays whatever it is worth.
        """
        known = self._open[trial.number]
        with self.journal.together():  # a point that is known has been decided
            known.report(value, point)
            given_up = bool(known.should_prune()) and not done
            if given_up:
                known.set_user_attr("finals", trial.first_finals())
                self._end(trial.number)
        return given_up

    def complete(self, number: int, value: float, finals: Sequence[float]) -> None:
        """value: the objective, the mean of `finals`, one for each seed."""
        trial = self._open.pop(number)
        with self.journal.together():
            trial.set_user_attr("finals", list(finals))
            self._study.tell(trial, value)

    def fail(self, number: int, why: str) -> None:
        """End a trial whose settings gave no value. To Optuna it is as bad as a trial can be, so
        that others keep away."""
        with self.journal.together():
            self._open[number].set_user_attr("why", why)
            self._end(number)

    def _end(self, number: int) -> None:
        pruned = self._optuna.trial.TrialState.PRUNED
        self._study.tell(self._open.pop(number), state=pruned)

    def records(self) -> list[Record]:
        """All trials that have begun, in the order of their numbers."""
        found = []
        for trial in self._begun():
            why = trial.user_attrs.get("why", "")
            state = "failed" if why else trial.state.name.lower()
            finals = trial.user_attrs.get("finals", [])
            value = trial.value if state == "complete" else None
            last = trial.last_step if state == "pruned" else None
            left = None if last is None else (last, trial.intermediate_values[last])
            found.append(Record(trial.number, state, dict(trial.params), value, finals, why, left))
        return found

    def importance(self) -> dict[str, float]:
        """How much each setting matters among the best tenth of the complete trials, as parts of
        one (PED-ANOVA, Watanabe et al. 2023); empty when there are too few to say."""
        complete = [record for record in self.records() if record.value is not None]
        if len(complete) < 2 * STARTUP or len({record.value for record in complete}) < 2:
            return {}
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {key: float(part) for key, part in found.items()}


def import_optuna() -> Any:
    """The library, quiet. Raises `UserError` where it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError(
            'trpo-tune needs Optuna, which is not installed: pip install "trpo_cli[tune]".'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
