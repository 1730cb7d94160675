"""Trials as runs: which run begins next, what a trial's curve is worth, when it is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import METRICS
from trpo_cli.runs.whole import what_is_wrong
from trpo_cli.sweeps.look import has_begun, is_finished, look
from trpo_cli.sweeps.pool import Ended, Pool, Run
from trpo_cli.tune.points import HALVING, Point, points
from trpo_cli.tune.space import override
from trpo_cli.tune.study import TRIALS, Search, Trial

TICK = 0.5
HOPELESS = 5
"""So many failed trials, and nothing else, say that the fault is not in the settings drawn."""


@dataclass(frozen=True)
class Plan:
    """folder: of the search; overrides: what all trials have in common; seeds: of each trial's
    runs; total: steps of a run; trials: how many in all; prune: how they are given up."""

    folder: Path
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    total: int
    trials: int
    prune: str

    def run_dir(self, number: int, place: int) -> Path:
        return self.folder / TRIALS / f"{number:04d}" / f"seed_{self.seeds[place]}"


class Schedule:
    """The trials in progress, at most one for each run that the pool makes at a time: a trial's
    seeds run one after another, so that a bad one is given up before it has cost them all. Only
    where no further trial is to begin, seeds of one trial run side by side.

    say: prints one line.
    """

    def __init__(self, plan: Plan, search: Search, pool: Pool, say: Callable[[str], None]) -> None:
        self._plan, self._search, self._pool, self._say = plan, search, pool, say
        self._points = points(plan.prune, len(plan.seeds))
        self._active: dict[int, Trial] = {}
        self._best = -float("inf")
        self._failed_only = True
        for record in search.records():
            if record.value is not None:
                self._best = max(self._best, record.value)
            self._failed_only = self._failed_only and record.state in ("failed", "running")

    def run(self, stopped: Callable[[], bool], tick: float = TICK) -> None:
        """Make runs until there are as many trials as planned, or until `stopped` says so.

        tick: seconds between two looks at the runs.
        """
        for trial in self._search.unfinished():
            self._continue(trial)
        self._watch()
        while not stopped():
            self._fill()
            if not self._pool.busy:
                return
            for one in self._pool.wait(tick):
                self._note(one)
            self._watch()

    def _fill(self) -> None:
        """Begin as many runs as can go on at a time, while there are any to make."""
        while self._pool.idle > 0:
            new = len(self._active) < self._pool.at_once
            if new and self._search.count() < self._plan.trials:
                trial = self._search.ask()
                self._active[trial.number] = trial
                self._begin(trial)
                continue
            waiting = [a for a in self._active.values() if a.begun < len(self._plan.seeds)]
            if not waiting:
                return
            self._begin(min(waiting, key=lambda a: (len(a.running), a.number)))

    def _note(self, one: Ended) -> None:
        """Take note of a run's end."""
        number, place = divmod(one.run.number, len(self._plan.seeds))
        trial = self._active.get(number)
        if trial is None:
            return  # of a trial that was given up
        trial.running.discard(place)
        if one.status == 0:
            self._done(trial, place)
        elif one.status in (2, 3):
            self._fail(trial, one.message)

    def _watch(self) -> None:
        for trial in list(self._active.values()):
            self._compare(trial)

    def _compare(self, trial: Trial, done: bool = False) -> None:
        """Report what a trial is worth at the points that it has passed, one after the other; give
        it up where it is worse than most, unless all its seeds are done."""
        for point in self._points:
            if point.number in trial.reported:
                continue
            value = self._worth(trial, point)
            if value is None:
                return
            trial.reported.add(point.number)
            if self._search.report(trial, point.number, value, done):
                self._stop(trial)
                halving = self._plan.prune == HALVING
                why = "not in the better half" if halving else "below the median"
                where = point.words(self._plan.seeds)
                self._say(f"trial {trial.number} given up at {where}: {value:.4g}, {why} there")
                return

    def _continue(self, trial: Trial) -> None:
        """Take up a trial of a search that was interrupted."""
        self._active[trial.number] = trial
        for place in range(len(self._plan.seeds)):
            folder = self._plan.run_dir(trial.number, place)
            if has_begun(folder) and is_finished(folder):  # `_begin` passes over it
                self._done(trial, place)
            if trial.number not in self._active:
                return

    def _begin(self, trial: Trial) -> None:
        """Start the next seed of a trial, or go on with it."""
        plan, place = self._plan, trial.begun
        trial.begun += 1
        if place in trial.finals:
            return
        trial.running.add(place)
        folder = plan.run_dir(trial.number, place)
        number = trial.number * len(plan.seeds) + place
        if has_begun(folder):
            self._pool.submit(Run(number, (), folder, resume=True))
            return
        drawn = [override(key, value) for key, value in trial.settings.items()]
        overrides = (*plan.overrides, *drawn, f"seed={plan.seeds[place]}")
        self._pool.submit(Run(number, overrides, folder))

    def _done(self, trial: Trial, place: int) -> None:
        number, seeds = trial.number, self._plan.seeds
        if wrong := what_is_wrong(self._plan.run_dir(number, place)):
            self._fail(trial, f"the rows of seed {seeds[place]} cannot be trusted: {wrong}")
            return
        record = look(self._plan.run_dir(number, place)).evaluation
        if record is None:
            self._fail(trial, "the run left no evaluation in its eval.jsonl.")
            return
        trial.finals[place] = float(record["return_mean"])
        self._failed_only = False
        if len(trial.finals) < len(seeds):
            return
        self._compare(trial, done=True)
        del self._active[number]
        finals = trial.first_finals()
        value = sum(finals) / len(finals)
        self._search.complete(number, value, finals)
        better = value > self._best
        self._best = max(self._best, value)
        each = ", ".join(f"{final:.4g}" for final in finals)
        self._say(f"trial {number}: {value:.4g} ({each}){', the best so far' if better else ''}")

    def _fail(self, trial: Trial, why: str) -> None:
        number = trial.number
        self._stop(trial)
        self._search.fail(number, why)
        self._say(f"trial {number} failed: {why}")
        if self._failed_only and len(self._search.records()) >= HOPELESS:
            raise UserError(
                f"all {HOPELESS} trials so far failed, the last one so: {why} Their logs are in "
                f"{self._plan.folder / 'trials'}."
            )

    def _stop(self, trial: Trial) -> None:
        del self._active[trial.number]
        for place in trial.running:
            self._pool.stop(trial.number * len(self._plan.seeds) + place)

    def _worth(self, trial: Trial, point: Point) -> float | None:
        """The mean over the seeds up to the point's of the training return at its share of the
        steps, or of the final evaluations at their end; None as long as one of them is not known.
        Two trials that have a value have it of the same seeds at the same share."""
        values = []
        for place in range(point.place + 1):
            if point.share == 1:
                value = trial.finals.get(place)
            else:
                value = self._return_at(trial, place, self._plan.total * point.share)
            if value is None:
                return None
            values.append(value)
        return sum(values) / len(values)

    def _return_at(self, trial: Trial, place: int, step: float) -> float | None:
        folder = self._plan.run_dir(trial.number, place)
        return return_at(folder, step) if look(folder).step >= step else None


def return_at(run_dir: Path, step: float) -> float | None:
    """The mean return of the last 100 training episodes in a run's first row from `step` on; None
    where no episode had ended."""
    with open(run_dir / METRICS, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            row = json.loads(line)
            if row["step"] >= step:
                value = row.get("train/return_recent")
                return None if value is None else float(value)
    return None
