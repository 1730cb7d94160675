"""Runs as processes: order, outcomes, deaths, stops, what becomes of them without a parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweeps import QUICK
from trpo_cli.sweeps.pool import Ended, Pool, Run, divide_cores
from trpo_cli.system.machine import usable_cores

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(1, threads=3, main=QUICK) as pool:
        yield pool


def finish(pool: Pool, seconds: float = 30.0) -> dict[int, Ended]:
    """How all runs ended, by number, in the order of their ends."""
    ended, until = dict[int, Ended](), time.monotonic() + seconds
    while pool.busy:
        assert time.monotonic() < until
        ended |= {one.run.number: one for one in pool.wait(1.0)}
    return ended


def wait_for(path: Path, seconds: float = 30.0) -> str:
    until = time.monotonic() + seconds
    while not path.exists() or not (text := path.read_text()):
        assert time.monotonic() < until, path
        time.sleep(0.01)
    return text


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_death(pids: list[int], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while any(map(alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_one_run_after_another_each_in_its_own_process(pool: Pool, tmp_path: Path) -> None:
    for number in range(3):
        pool.submit(Run(number, (), tmp_path / str(number)))
    assert [run.number for run in pool.running] == [0] and pool.idle == -2
    ended = finish(pool)
    assert list(ended) == [0, 1, 2] and {one.status for one in ended.values()} == {0}
    assert len({(tmp_path / str(n) / "pid").read_text() for n in range(3)}) == 3
    assert pool.idle == 1 and pool.wait() == []


def test_several_at_a_time(tmp_path: Path) -> None:
    with Pool(2, main=QUICK) as pool:
        for number in range(3):
            pool.submit(Run(number, ("work",), tmp_path / str(number)))
        pids = {wait_for(tmp_path / str(n) / "pid") for n in range(2)}
        assert len(pids) == 2 and str(os.getpid()) not in pids
        assert [run.number for run in pool.running] == [0, 1]
        pool.stop(0)
        assert [one.run.number for one in pool.wait(30.0)] == [0]
        assert {run.number for run in pool.running} == {1, 2}
        wait_for(tmp_path / "2" / "pid")
    # Leaving the block lets the others write a checkpoint.
    assert all((tmp_path / str(n) / "checkpoint").exists() for n in range(3))


def test_outcomes(pool: Pool, tmp_path: Path) -> None:
    """None of them costs the next run anything."""
    words = {
        "threads": (2, "3 threads."),
        "raise": (3, "failed with ValueError: no such luck (debug=true shows where)"),
        "leave": (
            3,
            "something in the environment, or in another module of your own, called sys.exit(7), "
            "which would end the run without a word. Raise an error there instead. (debug=true "
            "shows where)",
        ),
        "vanish": (3, "its process ended with exit status 9: its log does not say why."),
        "crash": (3, "its process ended with SIGSEGV."),
    }
    for number, word in enumerate([*words, "kill", ""]):
        pool.submit(Run(number, (word,), tmp_path / str(number)))
    ended = list(finish(pool).values())
    assert [(one.status, one.message) for one in ended[:5]] == list(words.values())
    assert ended[5].status == 3 and "killed (SIGKILL)" in ended[5].message
    assert ended[6].status == 0
    assert "no such luck" in (tmp_path / "1.log").read_text()


def test_a_process_that_cannot_even_start(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pool.submit(Run(0, (), tmp_path / "file" / "0"))
    pool.submit(Run(1, (), tmp_path / "1"))
    ended = finish(pool)
    assert ended[0].status == 3 and "file" in ended[0].message and ended[1].status == 0
    with Pool(1, main="tests.sweeps.nowhere") as broken:
        broken.submit(Run(0, (), tmp_path / "0"))
        ended = finish(broken)
    assert ended[0].status == 3 and "No module named tests.sweeps.nowhere" in ended[0].message


def test_an_earlier_failure_is_not_told_again(pool: Pool, tmp_path: Path) -> None:
    """The log of a run that goes on begins with that of its first attempt."""
    (tmp_path / "0.log").write_text("trpo-run: the first failure.\n")
    pool.submit(Run(0, ("vanish",), tmp_path / "0"))
    assert "first" not in finish(pool)[0].message


class TestStop:
    def test_a_running_one(self, pool: Pool, tmp_path: Path) -> None:
        pool.submit(Run(0, ("work",), tmp_path / "0"))
        pool.submit(Run(1, (), tmp_path / "1"))
        wait_for(tmp_path / "0" / "pid")
        pool.stop(0, signal.SIGUSR1)
        ended = finish(pool)
        assert (ended[0].status, ended[0].message) == (138, "interrupted by SIGUSR1.")
        assert (tmp_path / "0" / "checkpoint").exists() and ended[1].status == 0

    def test_one_that_waits_never_begins(self, pool: Pool, tmp_path: Path) -> None:
        pool.submit(Run(0, ("work",), tmp_path / "0"))
        pool.submit(Run(1, ("work",), tmp_path / "1"))
        pool.stop(1)
        pool.stop(5)  # nobody's
        assert [(one.run.number, one.status) for one in pool.wait(0.0)] == [(1, 143)]
        pool.stop(0)
        finish(pool)
        assert not (tmp_path / "1").exists()

    def test_at_any_moment(self, pool: Pool, tmp_path: Path) -> None:
        """A stop never reaches another run than its own, however early or late it comes."""
        for number in range(0, 12, 2):
            pool.submit(Run(number, (), tmp_path / str(number)))
            time.sleep(0.06 * number)
            pool.stop(number)
            pool.submit(Run(number + 1, (), tmp_path / str(number + 1)))
            ended = finish(pool)
            assert ended[number].status in (0, 143) and ended[number + 1].status == 0

    def test_a_second_one_is_heard_at_once(self, pool: Pool, tmp_path: Path) -> None:
        pool.submit(Run(0, ("hang",), tmp_path / "0"))
        wait_for(tmp_path / "0" / "pid")
        began = time.monotonic()
        for _ in range(2):
            time.sleep(0.3)
            pool.stop(0, signal.SIGINT)
        assert finish(pool)[0].status == 130
        assert time.monotonic() - began < 10


class TestOutput:
    def test_of_a_run_goes_beside_its_folder(
        self, pool: Pool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        pool.submit(Run(0, ("print",), tmp_path / "a" / "0"))
        pool.submit(Run(1, ("print",), tmp_path / "a" / "1"))
        finish(pool)
        lines = ["on standard output", "from a process of its own"]
        for name in ("0.log", "1.log"):
            assert (tmp_path / "a" / name).read_text().splitlines() == lines
        assert capfd.readouterr() == ("", "")


class TestWithoutItsParent:
    def start(self, tmp_path: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.sweep_parent", str(tmp_path)], cwd=REPOSITORY
        )
        return process, [int(wait_for(tmp_path / str(n) / "pid")) for n in range(2)]

    def test_killed(self, tmp_path: Path) -> None:
        """The runs write checkpoints and end by themselves."""
        process, pids = self.start(tmp_path)
        process.kill()
        process.wait()
        wait_for_death(pids)
        assert all((tmp_path / str(n) / "checkpoint").exists() for n in range(2))

    def test_killed_before_the_runs_began(self, tmp_path: Path) -> None:
        """A process that has hardly started ends as well, before `GRACE` is over."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.sweep_parent", str(tmp_path), "die"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.read().split()]
        assert len(pids) == 2 and process.wait() == -signal.SIGKILL
        wait_for_death(pids)

    def test_interrupted_in_a_terminal(self, tmp_path: Path) -> None:
        """Ctrl-C goes to the parent alone: it decides what becomes of the runs."""
        process, pids = self.start(tmp_path)
        assert all(os.getpgid(pid) != os.getpgid(process.pid) for pid in pids)
        process.send_signal(signal.SIGINT)
        process.wait()
        wait_for_death(pids)


def test_no_more_threads_than_cores() -> None:
    cores = usable_cores()
    assert divide_cores(100, None) == (cores, 1)
    assert divide_cores(1, None) == (1, cores)
    assert divide_cores(100, cores) == (1, cores)
    assert divide_cores(100, 10 * cores) == (1, 10 * cores)  # the person says so
    assert divide_cores(100, None, 1) == (1, cores)
    assert divide_cores(100, None, 4 * cores) == (4 * cores, 1)
    assert divide_cores(100, 1, 1) == (1, 1)
    for jobs in range(1, 2 * cores):
        workers, threads = divide_cores(jobs, None)
        assert workers * threads <= cores < (workers + 1) * (threads + 1)
