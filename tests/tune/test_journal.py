"""A search's journal: a line that was torn, changed or lost is told, and takes no other with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.searching import LR, run
from trpo_cli.errors import UserError
from trpo_cli.tune.journal import START, Journal
from trpo_cli.tune.space import parse_space
from trpo_cli.tune.study import Search

ENTRIES = [{"op_code": n, "worker_id": "w", "value": n / 7} for n in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "journal.log")
    journal.append_logs(ENTRIES[:2])
    journal.append_logs(ENTRIES[2:])
    return tmp_path / "journal.log"


def search(folder: Path) -> Search:
    return Search(folder, parse_space(LR, "space"), "tpe", "none", 0)


class TestJournal:
    def test_entries_come_back(self, path: Path) -> None:
        journal = Journal(path)
        assert journal.read_logs(0) == ENTRIES and journal.read_logs(3) == ENTRIES[3:]

    def test_a_torn_last_line_is_put_aside_and_the_next_one_is_whole(self, path: Path) -> None:
        with open(path, "ab") as file:
            file.write(b'{"op_code": 9, "work')
        Journal(path).append_logs([{"op_code": 5}])
        assert Journal(path).read_logs(5) == [{"op_code": 5}]
        (beside,) = path.parent.glob("journal.log.cut-*")
        assert beside.read_bytes() == b'{"op_code": 9, "work'

    def test_a_torn_last_line_stays_until_the_next_one_is_written(self, path: Path) -> None:
        """The search may be refused for another reason, and nothing has changed then."""
        path.write_bytes(torn := path.read_bytes() + b'{"op_code": 9, "work')
        Journal(path)
        assert path.read_bytes() == torn and len(list(path.parent.iterdir())) == 1

    def test_another_searchs_journal_is_not_taken(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.log"
        Journal(path, "a" * 16).append_logs(ENTRIES)
        assert Journal(path, "a" * 16).read_logs(0) == ENTRIES
        for start in ("b" * 16, START):
            with pytest.raises(UserError, match=r"line 1 was changed"):
                Journal(path, start)

    def test_lines_cannot_lose_their_chain(self, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        lines[0] = lines[0].replace(b'"chain"', b'"chaim"')
        path.write_bytes(b"".join(lines))
        with pytest.raises(UserError, match=r"line 1 was changed"):
            Journal(path)

    @pytest.mark.parametrize("change", ["digit", "lost", "broken"])
    def test_a_changed_line_is_named_and_nothing_changes(self, path: Path, change: str) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        if change == "digit":
            lines[1] = lines[1].replace(b"0.14", b"0.15")
        elif change == "lost":
            del lines[1]
        else:
            lines[1] = lines[1].replace(b"{", b"[")
        path.write_bytes(b"".join(lines))
        with pytest.raises(UserError, match=r"journal\.log: line 2 was changed"):
            Journal(path)
        assert path.read_bytes() == b"".join(lines)

    def test_an_older_one_goes_on_without_a_chain(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.log"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in ENTRIES[:2]))
        journal = Journal(path)
        assert not journal.chained
        journal.append_logs(ENTRIES[2:])
        assert Journal(path).read_logs(0) == ENTRIES
        assert b"chain" not in path.read_bytes()


class TestSearch:
    def test_one_of_optunas_own_journals_goes_on(self, tmp_path: Path) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        backend = JournalFileBackend(str(tmp_path / "journal.log"))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(storage=storage, study_name="tune", direction="maximize")
        study.tell(
            study.ask({"lr": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True)}), 1
        )
        found = search(tmp_path)
        assert found.count() == 1 and not found.journal.chained
        found.complete(found.ask().number, 2.0, [2.0])
        assert [record.value for record in search(tmp_path).records()] == [1.0, 2.0]

    @pytest.mark.parametrize(
        ("kept", "trial"),
        [
            (0, 0),  # the file is gone
            (2, 0),  # the trial is there, what it drew is not
            (3, 1),  # what follows on the first trial's settings
        ],
    )
    def test_lost_last_lines_are_noticed_by_the_folders_of_their_trials(
        self, tmp_path: Path, kept: int, trial: int
    ) -> None:
        """The next trial would have got the folder, and the run, of another one's settings."""
        run(tmp_path, 2, seeds=1)
        path = tmp_path / "journal.log"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(left := b"".join(lines[:kept]))
        if not kept:
            path.unlink()
        with pytest.raises(UserError, match=rf"ends before trial {trial}, .*000{trial}"):
            search(tmp_path)
        assert (path.read_bytes() if path.exists() else b"") == left

    def test_an_earlier_seed_that_was_killed_goes_on_though_a_later_one_is_done(
        self, tmp_path: Path
    ) -> None:
        """Both ran side by side. The trial stayed open for ever, and the search ended with 0."""
        before, _ = run(tmp_path, 1)
        path = tmp_path / "journal.log"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-2]))  # what it was worth
        shutil.rmtree(tmp_path / "trials" / "0000" / "seed_0")
        assert run(tmp_path, 1)[0] == before

    def test_opening_it_again_adds_nothing(self, tmp_path: Path) -> None:
        run(tmp_path, 1, seeds=1)
        before = (tmp_path / "journal.log").read_bytes()
        assert search(tmp_path).count() == 1
        assert (tmp_path / "journal.log").read_bytes() == before

    def test_a_run_whose_rows_were_changed_is_not_believed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("trpo_cli.tune.schedule.what_is_wrong", lambda _: "row 2 was changed.")
        records, said = run(tmp_path, 1, seeds=1)
        assert records[0].state == "failed" and "row 2 was changed" in records[0].why
        assert "cannot be trusted" in said[0]
