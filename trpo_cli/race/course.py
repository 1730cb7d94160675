"""Which run of a race is next, and whether it is over."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from trpo_cli.compare.read import PROGRESS, read_run
from trpo_cli.compare.scores import final_evaluation
from trpo_cli.compare.sequential import Design
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.race.record import Record
from trpo_cli.race.standing import Cell, Pair, cells, standing
from trpo_cli.race.words import decision, interim
from trpo_cli.sweeps.index import Index, Job
from trpo_cli.sweeps.look import is_finished
from trpo_cli.sweeps.overview import FINISHED, INTERRUPTED, WAITING, Row
from trpo_cli.sweeps.pool import Ended
from trpo_cli.sweeps.supervise import Orders
from trpo_cli.terminal.display import is_quiet

SEED = "seed="


class Course:
    """The planner of a race. A look needs all its runs; while the last of them go on, idle cores
    begin those of the next one.

    index: the jobs begun so far, written whenever there is one more. totals: the steps of a run of
    each cell. link: is called with each new job and its cell.
    """

    def __init__(
        self,
        sweep_dir: Path,
        index: Index,
        record: Record,
        plan: Design,
        totals: Sequence[int],
        link: Callable[[Job, int], None] = lambda job, cell: None,
    ) -> None:
        """Raises `UserError` for an index that is not that of a race, or a run that cannot be
        read."""
        self._dir, self.index, self._record, self._plan = sweep_dir, index, record, plan
        self._totals, self._link = totals, link
        self.cells = cells([job.overrides[:-1] for job in index.jobs[: record.cells]])
        self._place = {job.number: self._place_of(job) for job in index.jobs}
        self._finals: dict[tuple[int, int], float] = {}
        self._begun, self.failed = set[int](), dict[int, str]()
        self._seen, self._told = set[int](), set[tuple[int, int, int]]()
        for job in index.jobs:
            if is_finished(sweep_dir / job.folder, totals[self._place[job.number][0]]):
                self._take(job)
        self.pairs = self._stand()
        hours = record.bounds.max_hours
        self._until = time.monotonic() + 3600.0 * hours if hours else None
        self.late = False

    def rows(self) -> list[Row]:
        """One for each job so far; those that are not finished are begun again when it is their
        turn."""
        return [self._row(job, INTERRUPTED) for job in self.index.jobs]

    def __call__(self, ended: Mapping[int, Ended], idle: int) -> Orders:
        """What is next; see `Planner`."""
        fresh = [one for number, one in ended.items() if number not in self._seen]
        for one in fresh:
            self._seen.add(one.run.number)
            if one.status == 0:
                self._take(self.index.jobs[one.run.number])
            elif one.status <= RunFailed.exit_status:
                self.failed[one.run.number] = one.message
        if fresh:
            self.pairs = self._stand()
        say = list(self._news())
        self.late = self.late or (self._until is not None and time.monotonic() > self._until)
        open_ = set[int]() if self.late else self._open()
        going = [number for number in self._begun if number not in self._seen]
        stop = [number for number in going if self._place[number][0] not in open_]
        self._begun -= set(stop)
        return Orders(list(self._next(open_, idle)), stop, say)

    @property
    def settled(self) -> bool:
        return all(pair.settled for pair in self.pairs)

    @property
    def over(self) -> bool:
        """Whether no seed is left that could settle anything."""
        most = self._plan.looks[-1]
        return all(pair.settled or pair.path.n == most for pair in self.pairs)

    def decision(self) -> str:
        """The paragraph at the end."""
        if self.failed:
            why = f"{len(self.failed)} failed, and leaving them out would flatter their group"
        elif self.over:
            why = f"all {self._plan.looks[-1]} seeds are used up"
        else:
            why = f"the time of {self._record.bounds.max_hours:g} hours is over"
        return decision(self.pairs, self._known(), self._plan, why)

    def _place_of(self, job: Job) -> tuple[int, int]:
        """(cell, which of its seeds)."""
        own = [c.number for c in self.cells if c.overrides == job.overrides[:-1]]
        text = job.overrides[-1].removeprefix(SEED)
        if len(own) != 1 or not text.isdecimal() or int(text) < self._record.first_seed:
            raise UserError(
                f"{self._dir}: run {job.number} is none of the race's. Begin a new one."
            )
        return own[0], int(text) - self._record.first_seed

    def _take(self, job: Job) -> None:
        """Read the final evaluation of a run that is done."""
        folder = self._dir / job.folder
        try:
            run = read_run(folder, str(self._dir), PROGRESS)
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"{folder}: {' '.join(str(error).split())}.") from error
        line = final_evaluation(run)
        if line is None:
            self.failed[job.number] = "it has no final evaluation to compare."
        else:
            self._finals[self._place[job.number]] = float(line["return_mean"])

    def _known(self) -> list[list[float]]:
        """Of each cell the results up to the first seed that is not done."""
        found = list[list[float]]()
        for cell in self.cells:
            mine = list[float]()
            while (cell.number, len(mine)) in self._finals:
                mine.append(self._finals[cell.number, len(mine)])
            found.append(mine)
        return found

    def _stand(self) -> list[Pair]:
        return standing(self.cells, self._known(), self._plan, self._record.bounds)

    def _news(self) -> Iterator[str]:
        """A line for each pair that has come to a look."""
        for pair in self.pairs:
            key = pair.a.number, pair.b.number, pair.path.n
            if pair.path.n and key not in self._told:
                self._told.add(key)
                if not is_quiet():
                    yield interim(pair, self._known(), self._plan)

    def _open(self) -> set[int]:
        """The cells with a pair that more seeds can settle."""
        stuck = {self._place[number][0] for number in self.failed}
        pairs = (p for p in self.pairs if not p.settled)
        both = [{p.a.number, p.b.number} for p in pairs]
        return {cell for pair in both if not pair & stuck for cell in pair}

    def _next(self, open_: set[int], idle: int) -> Iterator[tuple[Job, Row]]:
        """Up to `idle` runs. Those that complete the earliest look come first, on several
        environments those of the one that is nearest to a decision."""
        nearest = {env: min(p.p_order for p in self.pairs if p.a.env == env)
                   for env in {cell.env for cell in self.cells}}  # fmt: skip
        known = {place: number for number, place in self._place.items()}
        wanted = sorted(
            (self._look_of(seed), nearest[cell.env], cell.env, seed, cell.number)
            for cell in self.cells
            if cell.number in open_
            for seed in range(self._plan.looks[-1])
            if (cell.number, seed) not in self._finals
            and known.get((cell.number, seed), -1) not in self._begun | self._seen
        )
        for *_, seed, cell in wanted[: max(0, idle)]:
            job = self._job(self.cells[cell], seed, known.get((cell, seed)))
            self._begun.add(job.number)
            yield job, self._row(job)

    def _look_of(self, seed: int) -> int:
        return sum(seed >= n for n in self._plan.looks)

    def _job(self, cell: Cell, seed: int, number: int | None) -> Job:
        """The job of a seed; a new one is written down first."""
        if number is not None:
            return self.index.jobs[number]
        number = len(self.index.jobs)
        text = f"{SEED}{self._record.first_seed + seed}"
        differs = (*self.index.jobs[cell.number].differs[:-1], text)
        job = Job(number, (*cell.overrides, text), differs, str(number))
        self.index = dataclasses.replace(self.index, jobs=(*self.index.jobs, job))
        self.index.write(self._dir)
        self._place[number] = cell.number, seed
        self._link(job, cell.number)
        return job

    def _row(self, job: Job, state: str = WAITING) -> Row:
        total = self._totals[self._place[job.number][0]]
        state = FINISHED if self._place[job.number] in self._finals else state
        return Row(job.number, job.name, self._dir / job.folder, total, state)
