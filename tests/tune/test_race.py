"""Candidates that race by successive halving: who is compared when, and who is given up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.priced_run import worth
from tests.support.running import REPOSITORY
from tests.support.searching import EXPONENTS, RACERS, race, run
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import write_all
from trpo_cli.tune.candidates import choices_of, parse_candidates
from trpo_cli.tune.points import points
from trpo_cli.tune.space import Choice
from trpo_cli.tune.study import Search


@pytest.mark.parametrize("seeds", range(1, 11))
def test_what_a_trial_spends_doubles_between_comparisons(seeds: int) -> None:
    """Optuna's k-th rung is passed at the k-th point and no other: 4 * 2^k tenths of a run."""
    found = points("halving", seeds)
    spent = [point.place + point.share for point in found]
    assert spent == [s for s in (0.4, 1, 2, 4, 8) if s < seeds]
    assert [point.number for point in found] == [round(10 * s) for s in spent]
    for k, point in enumerate(found):
        assert 4 * 2**k <= point.number < 4 * 2 ** (k + 1)


def expected(first_seed: int, seeds: int) -> list[tuple[str, tuple[int, float] | None]]:
    """State of each candidate, and the point and worth where it is given up: those come through
    that are among the floor(n / 2) best, at least one, of the n that came before or now."""
    rungs: dict[int, list[float]] = {}
    found: list[tuple[str, tuple[int, float] | None]] = []
    for exponent in EXPONENTS:
        finals = [worth(10.0**exponent, first_seed + s) for s in range(seeds)]
        values = {4: 0.4 * finals[0], 10: finals[0], 20: (finals[0] + finals[1]) / 2}
        state: tuple[str, tuple[int, float] | None] = ("complete", None)
        for point, value in values.items():
            came = rungs.setdefault(point, [])
            came.append(value)
            if value < sorted(came)[-max(1, len(came) // 2)]:
                state = ("pruned", (point, value))
                break
        found.append(state)
    return found


@pytest.mark.parametrize("first_seed", [0, 1000])
def test_the_worse_half_is_given_up(tmp_path: Path, first_seed: int) -> None:
    records, said = race(tmp_path, first_seed=first_seed)
    wanted = expected(first_seed, 3)
    assert [record.settings for record in records] == RACERS
    assert [record.state for record in records] == [state for state, _ in wanted]
    assert [state for state, _ in wanted].count("pruned") == 2  # at either kind of point
    for record, (_, left) in zip(records, wanted, strict=True):
        assert (record.left is None) == (left is None)
        if record.left and left:
            assert record.left == (left[0], pytest.approx(left[1]))
            assert record.finals == [pytest.approx(worth(float(record.settings["lr"]), first_seed))]
    runs = sorted(p.parent.relative_to(tmp_path) for p in tmp_path.glob("trials/*/*/config.yaml"))
    assert [str(path) for path in runs] == [
        f"trials/{number:04d}/seed_{first_seed + place}"
        for number, record in enumerate(records)
        for place in range(3 if record.state == "complete" else 1)
    ]
    given_up = [line for line in said if "given up" in line]
    assert len(given_up) == 2 and all("not in the better half there" in line for line in given_up)
    assert f"given up at 40% of seed {first_seed}: " in given_up[0]
    assert f"given up at the end of seed {first_seed}: " in given_up[1]


def test_a_trial_that_is_done_is_compared_with_though_nobody_looked(tmp_path: Path) -> None:
    """One seed, over before it was looked at: the next ones have to be better than it at 40%."""
    records, _ = race(tmp_path, seeds=1, candidates=[{"lr": "1e-3"}, *RACERS[:2]])
    assert [record.state for record in records[:3]] == ["complete"] * 3
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    trials = optuna.load_study(study_name="tune", storage=storage).trials
    for trial in trials[:3]:
        assert trial.system_attrs["completed_rung_0"] == trial.intermediate_values[4]


def test_the_defaults_alone_can_be_run_on_several_seeds(tmp_path: Path) -> None:
    (record,), _ = run(tmp_path, 1, candidates=[{}], overrides=("lr=0.001",), first_seed=7)
    assert record.settings == {} and record.finals == pytest.approx([107.0, 108.0])


def test_further_trials_combine_the_candidates(tmp_path: Path) -> None:
    candidates = [{"lr": "0.1", "wait": "0"}, {"lr": "0.01", "wait": "0.0"}]
    records, _ = run(tmp_path, 6, candidates=candidates, seeds=1)
    assert [record.settings for record in records[:2]] == candidates
    assert len(records) == 6
    for record in records[2:]:
        assert record.settings["lr"] in ("0.1", "0.01")
        assert record.settings["wait"] in ("0", "0.0")


@pytest.mark.slow
def test_a_race_that_is_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    other, folder = tmp_path / "undisturbed", tmp_path / "killed"
    other.mkdir()
    folder.mkdir()
    undisturbed, _ = race(other)
    driver = [sys.executable, "-m", "tests.support.searching", str(folder), "race"]
    for kills in range(1, 4):
        process = subprocess.Popen(driver, cwd=REPOSITORY)
        until = time.monotonic() + 120
        while len(list(folder.glob("trials/*/*/manifest.json"))) < 3 * kills:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    times = {p: p.stat().st_mtime_ns for p in folder.glob("trials/*/*/manifest.json")}
    records, _ = race(folder)
    assert records == undisturbed
    assert all(p.stat().st_mtime_ns == moment for p, moment in times.items())  # none ran again


def test_what_is_given_up_is_so_with_the_same_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between what a trial was worth and that it ended would let it pass."""
    writes = list[bytes]()

    def write(descriptor: int, text: bytes) -> None:
        writes.append(text)
        write_all(descriptor, text)

    monkeypatch.setattr("trpo_cli.tune.journal.write_all", write)
    search = Search(tmp_path, choices_of(RACERS), "tpe", "halving", 0, candidates=RACERS)
    assert len(writes) == 2 and writes[1].count(b"\n") == len(RACERS)  # the study, all candidates
    better, worse = search.ask(), search.ask()
    assert not search.report(better, 4, 2.0)
    before = len(writes)
    assert search.report(worse, 4, 1.0)
    assert len(writes) == before + 1
    assert search.records()[1].state == "pruned"


class TestCandidates:
    def test_a_file_of_them(self) -> None:
        text = "- {}\n- {a.x: 1.0e-3, a.y: [64, 64]}\n- a.z: null\n"
        assert parse_candidates(text, "file") == [
            {}, {"a.x": "0.001", "a.y": "[64,64]"}, {"a.z": "null"}
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "file is no list of candidates"),
            ("[]", "file is no list of candidates"),
            ("a.x: 1", "file is no list of candidates"),
            ("- {}\n- 3", "file: candidate 2 is 3, not a mapping of settings"),
            ("- {a: {x: 1}}", r"candidate 1: a has a mapping .* a\.x: value"),
            ("- [", "file cannot be read as YAML"),
        ],
    )
    def test_what_is_none(self, text: str, words: str) -> None:
        with pytest.raises(UserError, match=words):
            parse_candidates(text, "file")

    def test_their_space_has_the_values_in_their_order(self) -> None:
        given = [{"a": "2", "b": "x"}, {"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
        assert choices_of(given) == [Choice("a", ("2", "1")), Choice("b", ("x", "y"))]
