"""The index of a sweep, looks at its runs, and what a person sees of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from trpo_cli.errors import UserError
from trpo_cli.sweeps import index
from trpo_cli.sweeps.look import TAIL, look
from trpo_cli.sweeps.overview import FAILED, FINISHED, INTERRUPTED, LiveOverview, Overview, Row


def write_rows(folder: Path, *rows: dict[str, Any], name: str = "metrics.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def row(step: int, seconds: float, recent: float | None = None) -> dict[str, Any]:
    return {"step": step, "seconds": seconds, "train/return_recent": recent}


class TestIndex:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        jobs = [["algo=ppo", "seed=1", "discount=0.9"], ["algo=ppo", "seed=2", "discount=0.9"]]
        new = index.new(["trpo-run", "-m"], None, ["hydra.sweep.dir=x"], 1, jobs, ["0", "1"])
        assert not index.is_sweep(tmp_path)
        new.write(tmp_path)
        assert index.is_sweep(tmp_path) and index.read(tmp_path) == new
        assert [job.name for job in new.jobs] == ["seed=1", "seed=2"]

    def test_one_job_is_named_by_all_its_settings(self) -> None:
        job = index.new(["x"], None, [], 1, [["seed=1", r"env=a\:B-v0"]], ["0"]).jobs[0]
        assert job.differs == () and job.name == "seed=1 env=a:B-v0"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "cannot be read"),
            ("[]", "cannot be read"),
            ('{"format": 2}', "newer"),
            ('{"format": 1}', "jobs"),
        ],
    )
    def test_a_file_that_is_none(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / index.INDEX).write_text(text)
        with pytest.raises(UserError, match=words):
            index.read(tmp_path)


class TestLook:
    def test_nothing_yet(self, tmp_path: Path) -> None:
        seen = look(tmp_path / "nowhere")
        assert seen.step == 0 and seen.evaluation is None
        assert seen.rate != seen.rate and seen.recent != seen.recent

    def test_the_last_whole_row_of_a_long_file(self, tmp_path: Path) -> None:
        padding = {"padding": "x" * 1000}
        write_rows(tmp_path, *({**row(n, n / 10, n), **padding} for n in range(1, 200)))
        assert (tmp_path / "metrics.jsonl").stat().st_size > TAIL
        with open(tmp_path / "metrics.jsonl", "a") as file:
            file.write('{"step": 200, "sec')  # still being written
        write_rows(tmp_path, {"return_mean": 1.0, "return_std": 0.0}, name="eval.jsonl")
        write_rows(tmp_path, {"return_mean": 2.0, "checkpoint": "best"}, name="eval.jsonl")
        seen = look(tmp_path)
        assert (seen.step, seen.recent, seen.rate) == (199, 199, pytest.approx(10))
        assert seen.evaluation == {"return_mean": 1.0, "return_std": 0.0}


class TestOverview:
    def make(self, tmp_path: Path, runs: int, at_once: int = 2) -> tuple[Overview, io.StringIO]:
        rows = [Row(n, f"seed={n}", tmp_path / str(n), total=1000) for n in range(runs)]
        stream = io.StringIO()
        return Overview(rows, at_once, stream), stream

    def test_plain_lines(self, tmp_path: Path) -> None:
        overview, stream = self.make(tmp_path, 4)
        overview.running([0, 1])
        write_rows(tmp_path / "0", row(1000, 20.0, 7.0))
        write_rows(tmp_path / "0", {"return_mean": 8.0, "return_std": 0.5}, name="eval.jsonl")
        overview.ended(0, FINISHED)
        overview.ended(1, FAILED, "the loss is NaN.")
        write_rows(tmp_path / "2", row(500, 10.0))
        overview.running([2])
        overview.ended(2, INTERRUPTED, "interrupted by SIGINT.")
        overview.close()
        assert stream.getvalue().splitlines() == [
            "run 0 started: seed=0",
            "run 1 started: seed=1",
            "run 0 finished: return 8 ± 0.5, 1,000 steps, 20 s (seed=0)",
            "run 1 failed: the loss is NaN. (seed=1)",
            "run 2 started: seed=2",
            "run 2 interrupted: interrupted by SIGINT. (seed=2)",
        ]
        assert overview.summary() == (
            "4 runs: 1 finished, 1 waiting, 1 interrupted, 1 failed; about 20 s left"
        )

    def test_time_left(self, tmp_path: Path) -> None:
        """At 50 steps per second a run takes 20 s. One half done and four to begin, two at a
        time, take 45 s; the last of them decides when only one is left."""
        overview, _ = self.make(tmp_path, 5)
        assert overview.seconds_left() == 0  # nothing is known yet
        write_rows(tmp_path / "0", row(500, 10.0))
        overview.running([0, 1])
        assert overview.seconds_left() == pytest.approx((10 + 4 * 20) / 2)
        for number in range(1, 5):
            write_rows(tmp_path / str(number), row(1000, 20.0))
            overview.ended(number, FINISHED)
        assert overview.seconds_left() == pytest.approx(10)

    def test_the_order_in_which_runs_get_a_line(self, tmp_path: Path) -> None:
        overview, _ = self.make(tmp_path, 7)
        for number, state in ((0, FINISHED), (2, FAILED), (1, FINISHED)):
            overview.ended(number, state, "why")
        overview.running([3, 4])
        assert [r.number for r in overview.ordered()] == [3, 4, 2, 1, 0, 5, 6]

    def test_a_terminal_too_small_for_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LINES", "10")
        monkeypatch.setenv("COLUMNS", "60")
        overview, _ = self.make(tmp_path, 30)
        overview.running([7, 8])
        stream = io.StringIO()
        live = LiveOverview(stream)
        live.show(overview.ordered(), overview.summary())
        live.close()
        lines = stream.getvalue().splitlines()
        assert len(lines) <= 9 and max(map(len, lines)) <= 60
        assert [line.split()[0] for line in lines[1:3]] == ["7", "8"]
        assert "and 24 more. 30 runs: 2 running, 28 waiting" in lines[-1]
