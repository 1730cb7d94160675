"""Searches over runs that take no time, each a real process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.support.priced_run import STEPS, worth
from tests.support.running import REPOSITORY
from tests.support.searching import LR, SETTINGS, run
from trpo_cli.errors import UserError
from trpo_cli.sweeps.pool import Pool
from trpo_cli.tune.report import fresh_seeds, rank, report, write_csv
from trpo_cli.tune.schedule import Plan, Schedule, return_at
from trpo_cli.tune.space import Choice, Dimension, Interval, parse_space
from trpo_cli.tune.study import Record, Search


class TestTrials:
    def test_every_trial_is_worth_the_mean_over_its_seeds(self, tmp_path: Path) -> None:
        records, said = run(tmp_path, 5, seeds=3)
        assert [record.number for record in records] == list(range(5))
        for record in records:
            assert record.state == "complete"
            expected = [worth(record.settings["lr"], seed) for seed in range(3)]
            assert record.finals == pytest.approx(expected)
            assert record.value == pytest.approx(np.mean(expected))
        best = rank(records)[0]
        assert any(f"trial {best.number}:" in line and "best so far" in line for line in said)
        folders = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("trials/*/*"))
        runs = [name for name in folders if not name.endswith(".log")]
        assert runs == [f"trials/{n:04d}/seed_{s}" for n in range(5) for s in range(3)]

    def test_the_seeds_of_the_last_trial_run_side_by_side(self, tmp_path: Path) -> None:
        search = Search(tmp_path, parse_space(LR, "space"), "tpe", "none", 0)
        with Pool(2, main="tests.support.priced_run") as pool:
            plan = Plan(tmp_path, (), (0, 1), STEPS, 1, "none")
            most = 0

            def stopped() -> bool:
                nonlocal most
                most = max(most, len(pool.running))
                return False

            Schedule(plan, search, pool, lambda _: None).run(stopped, tick=0.05)
        assert most == 2 and search.records()[0].state == "complete"

    def test_bad_trials_are_given_up_before_their_last_seed(self, tmp_path: Path) -> None:
        """The curve is a share of the worth, so what is below the median there is so at the end;
        five trials are never given up. Curves are looked at when a run has ended, not before."""
        records, said = run(tmp_path, 12, at_once=1, prune="median", tick=60.0)
        given_up = [record for record in records if record.state == "pruned"]
        assert given_up and all(record.number >= 5 for record in given_up)
        kept = [record.value for record in records if record.value is not None]
        for record in given_up:
            assert worth(record.settings["lr"], 0) < np.median(kept)
            assert not (tmp_path / "trials" / f"{record.number:04d}" / "seed_1").exists()
        assert sum("given up" in line for line in said) == len(given_up)

    def test_a_failing_trial_is_told_and_the_search_goes_on(self, tmp_path: Path) -> None:
        space = f"{LR}\nfail: [0, 1]"
        records, said = run(tmp_path, 8, space=space, at_once=1)
        failed = [record for record in records if record.settings["fail"] == "1"]
        assert failed and len(failed) < 8
        assert all(record.state == "failed" and record.why == "it burned." for record in failed)
        assert all(r.state == "complete" for r in records if r.settings["fail"] == "0")
        assert any("failed: it burned." in line for line in said)

    def test_nothing_but_failures_ends_the_search(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"all 5 trials so far failed.*it burned"):
            run(tmp_path, 50, overrides=("fail=1",))

    def test_more_trials_continue_a_search(self, tmp_path: Path) -> None:
        first, _ = run(tmp_path, 3)
        both, _ = run(tmp_path, 6)
        assert both[:3] == first and len(both) == 6
        assert len({record.settings["lr"] for record in both}) == 6  # no draw twice


def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    driver = [sys.executable, "-m", "tests.support.searching", str(tmp_path), "search"]
    process = subprocess.Popen(driver, cwd=REPOSITORY)
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("trials/*/*/manifest.json"))) < 5:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = Search(tmp_path, parse_space(LR, "space"), "tpe", "none", 0).records()
    done = {record.number: record for record in before if record.state == "complete"}
    assert done and any(record.state == "running" for record in before)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/*/manifest.json")}
    records, _ = run(tmp_path, 12)
    assert len(records) == 12 and all(record.state == "complete" for record in records)
    for record in records:
        assert record.finals == pytest.approx(
            [worth(record.settings["lr"], seed) for seed in (0, 1)]
        )
        assert record == done.get(record.number, record)
    assert all(p.stat().st_mtime_ns == moment for p, moment in times.items())  # none ran again


def test_a_curve_is_read_at_its_first_row_from_a_step_on(tmp_path: Path) -> None:
    rows = [{"step": 100 * k, "train/return_recent": k if k > 1 else None} for k in range(1, 6)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 600, "train/ret')
    assert return_at(tmp_path, 250) == 3.0
    assert return_at(tmp_path, 300) == 3.0
    assert return_at(tmp_path, 100) is None  # no episode had ended
    assert return_at(tmp_path, 501) is None  # the row is not whole


@pytest.mark.slow
def test_the_search_beats_random_draws_at_equal_trials(tmp_path: Path) -> None:
    """A smooth function of three numbers and a choice, 40 trials, 12 searches of each kind. The
    best of TPE's is better: Mann-Whitney, one-sided, p < 0.01."""
    space: list[Dimension] = [
        Interval("a", 1e-5, 1.0, True, False),
        Interval("b", 0.0, 1.0, False, False),
        Interval("c", 1, 30, False, True),
        Choice("d", ("0", "1", "2", "3")),
    ]

    def value(settings: dict[str, Any]) -> float:
        a, b, c, d = settings["a"], settings["b"], settings["c"], int(settings["d"])
        return -float(
            (np.log10(a) + 3) ** 2 + 9 * (b - 0.3) ** 2 + ((c - 20) / 8) ** 2 + (d - 2) ** 2
        )

    best: dict[str, list[float]] = {"tpe": [], "random": []}
    for kind, found in best.items():
        for seed in range(12):
            folder = tmp_path / kind / str(seed)
            folder.mkdir(parents=True)
            search = Search(folder, space, kind, "none", seed)
            values = []
            for _ in range(40):
                trial = search.ask()
                values.append(value(trial.settings))
                search.complete(trial.number, values[-1], values[-1:])
            found.append(max(values))
    test = stats.mannwhitneyu(best["tpe"], best["random"], alternative="greater")
    assert test.pvalue < 0.01, best


class TestReport:
    RECORDS = (
        Record(0, "complete", {"lr": 0.1}, 3.0, [2.0, 4.0], ""),
        Record(1, "pruned", {"lr": 0.2}, None, [1.5], "", (4, 1.25)),
        Record(2, "complete", {"lr": 0.3}, 5.0, [5.0, 5.0], ""),
        Record(3, "failed", {"lr": 0.4}, None, [], "it burned."),
        Record(4, "pruned", {"lr": 0.5}, None, [], "", (1, 2.5)),
        Record(5, "pruned", {"lr": 0.6}, None, [], "", (1, 2.75)),
    )

    def test_it_ranks_counts_and_names_the_command(self) -> None:
        text = report(self.RECORDS, {"lr": 1.0}, SETTINGS)
        assert "6 trials: 2 complete, 3 given up early, 1 failed" in text
        rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| ")]
        assert [tuple(map(str.strip, row)) for row in rows] == [
            ("rank", "trial", "return"),
            ("1", "2", "5 ± 0"),
            ("2", "0", "3 ± 1.41"),  # the sample standard deviation of 2 and 4
            ("", "1", "1.25 at 60% of seed 1"),  # point 4: the fifth of three for each seed
            ("", "5", "2.75 at 60% of seed 0"),
            ("", "4", "2.5 at 60% of seed 0"),
        ]
        assert "trpo-run -m algo=ppo lr=0.3 seed=1000,1001,1002,1003,1004" in text

    @pytest.mark.parametrize(
        ("used", "first"),
        [
            (range(3), 1000),
            (range(1000, 1004), 0),
            (range(998, 1001), 0),
            (range(1005, 1010), 1000),
            (range(1002), 1002),
        ],
    )
    def test_fresh_seeds_are_none_that_were_used(self, used: range, first: int) -> None:
        assert fresh_seeds(used) == range(first, first + 5)
        settings = replace(SETTINGS, first_seed=used.start, seeds=len(used))
        assert f"seed={first},{first + 1}," in report(self.RECORDS, {}, settings)

    def test_of_candidates_all_are_shown_and_nothing_is_said_of_what_mattered(self) -> None:
        records = [Record(i, "complete", {"lr": str(i)}, 1.0, [1.0], "") for i in range(12)]
        for candidates, shown in ([], 10), ([r.settings for r in records], 12):
            text = report(records, {}, replace(SETTINGS, candidates=candidates))
            assert sum(line.startswith("| ") for line in text.splitlines()) == 1 + shown
            assert ("which settings matter" in text) == (not candidates)

    @pytest.mark.parametrize("width", [50, 80])
    def test_on_a_terminal_its_lines_fit(self, width: int) -> None:
        settings = {f"section.a_setting_{i}": 0.1 + i / 3 for i in range(9)}
        records = [Record(i, "complete", settings, 9.0 - i, [9.0 - i] * 2, "") for i in range(9)]
        text = report(records, dict.fromkeys(settings, 0.1), SETTINGS, width=width)
        lines = text.splitlines()
        assert max(map(len, lines)) <= width
        (rank,) = (line.split() for line in lines if line.startswith("rank"))
        # Names take 19 characters, "9 ± 0" and "0.433" take 5, and two lie between columns.
        assert len(rank) - 1 == (width - 19) // 7
        command = text[text.index("trpo-run") :].replace("\\\n", " ").split()
        assert command[:3] == ["trpo-run", "-m", "algo=ppo"] and len(command) == 13

    def test_too_little_is_said_to_be_too_little(self) -> None:
        assert "Too few complete trials" in report(self.RECORDS, {}, SETTINGS)
        assert "nothing to rank" in report(self.RECORDS[1:2], {}, SETTINGS)

    def test_the_table_of_all_trials(self, tmp_path: Path) -> None:
        write_csv(self.RECORDS, tmp_path / "trials.csv", SETTINGS)
        lines = (tmp_path / "trials.csv").read_text().splitlines()
        assert lines[0] == "trial,state,return_mean,returns,given_up_at,worth_there,lr,why"
        assert lines[1] == "0,complete,3.0,2.0 4.0,,,0.1,"
        assert lines[2] == "1,pruned,,1.5,60% of seed 1,1.25,0.2,"
        assert lines[4] == "3,failed,,,,,0.4,it burned."
