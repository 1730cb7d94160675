"""A race over runs of formulas: which run is next, what is decided, and that no kill changes it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic import write_run
from trpo_cli.compare.sequential import Design, design
from trpo_cli.errors import UserError
from trpo_cli.race.course import Course
from trpo_cli.race.record import Bounds, Record, read
from trpo_cli.race.standing import cells, keys_that_differ, pairs_of
from trpo_cli.sweeps import index
from trpo_cli.sweeps.index import Index, Job
from trpo_cli.sweeps.pool import Ended, Run

STEPS = 24_000
Final = Callable[[str, str, int], float]
"""(environment, group, seed) -> final performance."""


def noise(group: str, seed: int) -> float:
    return float(np.random.default_rng([*group.encode(), seed]).normal())


def far_apart(env: str, group: str, seed: int) -> float:
    return {"trpo": 1000.0, "ppo": 500.0, "vpg": 0.0}[group] + noise(group, seed)


def alike(env: str, group: str, seed: int) -> float:
    return 1000.0 + noise(group, seed)


class Made:
    """A race in a folder, whose runs end when `end` is called."""

    def __init__(
        self,
        folder: Path,
        final: Final,
        groups: Sequence[str] = ("trpo", "ppo"),
        envs: Sequence[str] = ("Hopper-v4",),
        **bounds: Any,
    ) -> None:
        self.folder, self.final = folder, final
        folder.mkdir()
        jobs = [(f"env={env}", f"algo={group}", "seed=0") for env in envs for group in groups]
        numbers = [str(number) for number in range(len(jobs))]
        listed = index.new(["trpo-run"], None, [], 1, jobs, numbers)
        Index(**{**vars(listed), "jobs": tuple(_with_seed(job) for job in listed.jobs)}).write(
            folder
        )
        Record(Bounds(**bounds), 0, len(jobs)).write(folder)
        self.going: list[Run] = []
        self.open()

    def open(self) -> None:
        """As a process does that begins or goes on."""
        record, listed = read(self.folder), index.read(self.folder)
        firsts = [job.overrides[:-1] for job in listed.jobs[: record.cells]]
        pairs = len(pairs_of(cells(firsts)))
        plan = design(record.bounds.max_seeds, pairs, record.bounds.error_rate)
        assert isinstance(plan, Design)
        self.plan = plan
        self.course = Course(self.folder, listed, record, plan, [STEPS] * record.cells)
        self.ended: dict[int, Ended] = {}
        self.going = []

    def step(self, at_once: int = 2) -> list[str]:
        """Let the planner fill the idle places; returns what it said."""
        orders = self.course(self.ended, at_once - len(self.going))
        for number in orders.stop:
            run = next(r for r in self.going if r.number == number)
            self.going.remove(run)
            self.ended[number] = Ended(run, 143, "interrupted by SIGTERM.")
        for job, row in orders.begin:
            self.going.append(Run(job.number, job.overrides, row.folder))
        return list(orders.say)

    def end(self, place: int = 0, status: int = 0) -> None:
        """One of the runs ends."""
        run = self.going.pop(place)
        if status == 0:
            env, group, seed = (text.partition("=")[2] for text in run.overrides)
            final = self.final(env, group, int(seed))
            write_run(run.folder, group, env, int(seed), final=final, steps=STEPS)
        self.ended[run.number] = Ended(run, status, "it broke." if status else "")

    def go(self, at_once: int = 2, last: int = 10**6, mix: bool = False) -> list[str]:
        """Until nothing goes on, or so many runs have ended, in the order in which they were begun
        or mixed."""
        order = np.random.default_rng(at_once)
        said = self.step(at_once)
        for _ in range(last):
            if not self.going:
                break
            self.end(int(order.integers(len(self.going))) if mix else 0)
            said += self.step(at_once)
        return said

    @property
    def made(self) -> list[tuple[str, ...]]:
        return [job.overrides for job in index.read(self.folder).jobs]


def _with_seed(job: Job) -> Job:
    return Job(job.number, job.overrides, (*job.differs, "seed=0"), job.folder)


def test_a_clear_order_is_decided_at_the_first_look(tmp_path: Path) -> None:
    race = Made(tmp_path / "r", far_apart)
    said = race.go()
    assert race.course.settled and race.course.over
    assert len(said) == 1 and said[0].startswith("Hopper-v4, 5 seeds each: trpo 1,000 ±")
    assert said[0].endswith(": decided")
    words = race.course.decision()
    assert words.startswith("Decided. On Hopper-v4 trpo is ahead of ppo: difference 500 (")
    assert "probability 0.05 at most" in words
    # Ten runs, and one that an idle core began while the last of them went on.
    assert [o[2] for o in race.made[:10]] == [f"seed={n}" for n in range(5) for _ in "ab"]
    assert len(race.made) <= 11


def test_cores_are_kept_busy_and_no_run_is_begun_twice(tmp_path: Path) -> None:
    race = Made(tmp_path / "r", far_apart)
    race.step(at_once=7)
    race.end()
    race.end()
    race.step(at_once=7)
    assert len(race.going) == 7 and len(set(race.made)) == len(race.made) == 9


def test_what_is_smaller_than_matters(tmp_path: Path) -> None:
    race = Made(tmp_path / "r", alike, difference=10.0)
    race.go()
    assert race.course.settled
    words = race.course.decision()
    assert "the difference between" in words and "is smaller than 10:" in words
    assert "wrong decision of either kind" in words


def test_seeds_are_used_up(tmp_path: Path) -> None:
    race = Made(tmp_path / "r", alike, max_seeds=8)
    said = race.go()
    assert race.course.over and not race.course.settled
    assert len(race.made) == 16 and len(said) == 2 and all(": open; " in line for line in said)
    words = race.course.decision()
    assert words.startswith("Not decided: all 8 seeds are used up. On Hopper-v4 the order of ")
    assert "runs each" in words


@pytest.mark.parametrize("kill_after", [0, 1, 7, 9, 10, 13, 15])
def test_a_kill_changes_nothing(tmp_path: Path, kill_after: int) -> None:
    """Runs that go on are lost or finished later, in another order and by another number of cores:
    the decision is that of a race that nobody disturbed."""

    def final(env: str, group: str, seed: int) -> float:  # decided at the second look
        return 1000.0 + 1.7 * (group == "ppo") + noise(group, seed)

    whole = Made(tmp_path / "whole", final)
    whole.go()
    assert whole.course.settled and "8 seeds each" in whole.course.decision()
    race = Made(tmp_path / "r", final)
    race.go(at_once=3, last=kill_after, mix=True)
    race.open()
    race.go(at_once=2, mix=True)
    assert race.course.decision() == whole.course.decision()
    assert len(set(race.made)) == len(race.made)


def test_only_open_groups_get_seeds(tmp_path: Path) -> None:
    """vpg is far behind both from the first look on; the others are alike."""

    def final(env: str, group: str, seed: int) -> float:
        return alike(env, group, seed) if group != "vpg" else noise(group, seed)

    race = Made(tmp_path / "r", final, ("trpo", "ppo", "vpg"), max_seeds=9)
    race.go(at_once=3)
    seeds = {name: sum(o[1] == f"algo={name}" for o in race.made) for name in ("vpg", "ppo")}
    assert race.plan.looks == (5, 9)
    assert 5 <= seeds["vpg"] <= 6 and seeds["ppo"] == 9
    finished = [p.parent for p in race.folder.glob("*/manifest.json")]
    assert len(finished) == 9 + 9 + 5


def test_three_groups_in_order(tmp_path: Path) -> None:
    race = Made(tmp_path / "r", far_apart, ("ppo", "vpg", "trpo"))
    race.go()
    words = race.course.decision()
    assert "On Hopper-v4 the order is trpo, ppo, vpg." in words and "among the 3 pairs" in words


def test_environments_are_decided_each_for_itself(tmp_path: Path) -> None:
    """Ant is clear at once; Hopper takes all its seeds."""

    def final(env: str, group: str, seed: int) -> float:
        return (far_apart if env == "Ant-v4" else alike)(env, group, seed)

    race = Made(tmp_path / "r", final, envs=("Hopper-v4", "Ant-v4"), max_seeds=12)
    race.go()
    words = race.course.decision()
    assert "On Ant-v4 trpo is ahead of ppo" in words and "On Hopper-v4 the order of" in words
    ant = [o for o in race.made if o[0] == "env=Ant-v4"]
    assert race.plan.looks == (5, 8, 12) and 10 <= len(ant) <= 11


def test_a_failed_run_stops_its_group_and_is_tried_again(tmp_path: Path) -> None:
    """Without its seed no look is fair."""
    race = Made(tmp_path / "r", far_apart)
    race.step()
    race.end(status=3)
    race.go()
    assert not race.course.settled and not race.course.over and len(race.made) <= 3
    assert "1 failed, and leaving them out would flatter" in race.course.decision()
    race.open()
    race.go()
    assert race.course.settled and race.course.failed == {}


def test_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    race = Made(tmp_path / "r", alike, max_hours=2.0)
    race.step()
    now = time.monotonic() + 7300.0
    monkeypatch.setattr("trpo_cli.race.course.time.monotonic", lambda: now)
    race.step()
    assert race.going == [] and not race.course.over
    assert race.course.decision().startswith("Not decided: the time of 2 hours is over. ")
    assert "have not reached their first look" in race.course.decision()


def test_labels() -> None:
    jobs = [
        ("algo=trpo", "env=A-v0", "algo.max_kl=0.01"),
        ("algo=trpo", "env=A-v0", "algo.max_kl=0.02"),
        ("algo=trpo", "env=B-v0", "algo.max_kl=0.01"),
        ("algo=trpo", "env=B-v0", "algo.max_kl=0.02"),
    ]
    found = cells(jobs)
    assert [(c.env, c.label) for c in found[1:3]] == [
        ("A-v0", "max_kl=0.02"), ("B-v0", "max_kl=0.01")
    ]  # fmt: skip
    assert keys_that_differ(found) == ["algo.max_kl"]
    assert [(a.number, b.number) for a, b in pairs_of(found)] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    "change",
    [
        {"cells": 1},
        {"first_seed": -1},
        {"bounds": {"max_seeds": 20, "error_rate": 2.0}},
        {"bounds": {"max_seeds": 20, "colour": "red"}},
        {"more": 1},
    ],
)
def test_a_record_from_somebody_else(tmp_path: Path, change: dict[str, Any]) -> None:
    good = {"format": 1, "bounds": {"max_seeds": 20}, "first_seed": 0, "cells": 2}
    content: dict[str, Any] = {**good, **change}
    (tmp_path / "race.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="cannot be read as the record of a race"):
        read(tmp_path)


def test_an_index_of_something_else(tmp_path: Path) -> None:
    race = Made(tmp_path / "r", alike)
    listed = index.read(race.folder)
    strange = Job(2, ("env=Hopper-v4", "algo=vpg", "seed=0"), (), "2")
    Index(**{**vars(listed), "jobs": (*listed.jobs, strange)}).write(race.folder)
    with pytest.raises(UserError, match="run 2 is none of the race"):
        race.open()
