"""What a tracker of anybody's hears of a run, and that none can harm the run."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.notes import FILE
from tests.support.running import (
    REPOSITORY,
    count_rows,
    finish,
    interrupt_at,
    lines,
    settings,
    start,
    status,
    wait_until,
)
from trpo_cli.commands.run import main
from trpo_cli.config import config_from_yaml
from trpo_cli.errors import UserError
from trpo_cli.runs.scalars import means, numbers
from trpo_cli.trackers import base
from trpo_cli.trackers import start as trackers
from trpo_cli.trackers.follow import Rows, flat, group_and_name
from trpo_cli.trackers.told import Told
from trpo_cli.training.trainer import Training

NOTES = "logger=tests.support.notes:Notes"
SMALL = settings("trpo", "CartPole-v1")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with a list of trusted modules of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def heard(run_dir: Path, what: str) -> list[Any]:
    return [content for kind, content in lines_of_notes(run_dir) if kind == what]


def lines_of_notes(run_dir: Path) -> list[Any]:
    return [json.loads(line) for line in (run_dir / FILE).read_text().splitlines()]


def expected(run_dir: Path) -> list[Any]:
    """All that the files hold, an evaluation behind the row at its step."""
    rows = [(row["step"], 0, numbers(row)) for row in lines(run_dir / "metrics.jsonl")]
    rows += [
        (row["step"], 1, means(row))
        for row in lines(run_dir / "eval.jsonl")
        if "checkpoint" not in row
    ]
    return [[step, values] for step, _, values in sorted(rows, key=lambda row: row[:2])]


def manifest(run_dir: Path) -> Any:
    return json.loads((run_dir / "manifest.json").read_text())


class TestOneRun:
    def test_it_hears_what_the_files_hold(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert main([*SMALL, NOTES, "hydra.run.dir=run"]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        assert "tests.support.notes:Notes: in a file" in out
        run = Path("run")
        [begun] = heard(run, "run")
        assert begun["id"] == manifest(run)["tracker_id"]
        assert re.fullmatch("[0-9a-f]{16}", begun["id"])
        assert (begun["name"], begun["group"], begun["resumed"]) == ("run", None, False)
        assert begun["pid"] == os.getpid()
        assert begun["config"]["algo.name"] == "trpo"
        assert begun["config"]["sampler.num_envs"] == 4
        assert heard(run, "log") == expected(run)
        assert len(expected(run)) == 8 + 3  # eight updates; two evaluations, and the last one
        assert heard(run, "finish") == ["finished"]

    def test_a_resumed_run_is_the_same_and_hears_nothing_twice(self, tmp_path: Path) -> None:
        words = [*settings("trpo", "CartPole-v1", total_steps=128 * 40), NOTES]
        process = start(*words, "hydra.run.dir=run", cwd=tmp_path)
        run = tmp_path / "run"
        assert wait_until(process, lambda: (run / FILE).exists() and count_rows(run) > 5)
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert wait_for_notes(run, "finish")
        assert heard(run, "finish") == ["killed"]
        assert heard(run, "log") == expected(run)  # also what came last before the kill
        assert main(["resume=run"]) == 0
        first, second = heard(run, "run")
        assert second == {**first, "resumed": True, "pid": os.getpid()}
        assert heard(run, "finish") == ["killed", "finished"]
        told, files = heard(run, "log"), expected(run)
        assert [step for step, _ in told] == [step for step, _ in files]
        key = "policy/kl"
        assert [m.get(key) for _, m in told] == [m.get(key) for _, m in files]

    def test_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt_at(monkeypatch, Training, "iterate", 4)
        assert main([*SMALL, NOTES, "hydra.run.dir=run"]) == 128 + signal.SIGTERM
        assert heard(Path("run"), "finish") == ["interrupted"]

    def test_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(_: Any) -> Any:
            raise RuntimeError("no such luck")

        monkeypatch.setattr(Training, "iterate", fails)
        assert main([*SMALL, NOTES, "hydra.run.dir=run"]) == 3
        assert heard(Path("run"), "finish") == ["failed"]

    def test_one_that_comes_later_hears_all_from_the_beginning(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            interrupt_at(patch, Training, "iterate", 4)
            assert main([*SMALL, "hydra.run.dir=run"]) == 128 + signal.SIGTERM
        assert "tracker_id" not in manifest(Path("run"))
        assert not Path("run/trackers").exists()
        assert main(["resume=run", NOTES]) == 0
        assert heard(Path("run"), "log") == expected(Path("run"))
        assert [begun["resumed"] for begun in heard(Path("run"), "run")] == [False]

    def test_several(self) -> None:
        both = "logger=[tests.support.notes:Notes,tests.support.notes:Raises]"
        assert main([*SMALL, both, "hydra.run.dir=run"]) == 0
        assert sorted(heard(Path("run"), "finish")) == ["finished"]  # the other one has raised
        ids = {begun["id"] for begun in heard(Path("run"), "run")}
        assert len(ids) == 1


def wait_for_notes(run: Path, what: str) -> bool:
    """The tracker's process outlives a run that was killed for a moment."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if heard(run, what):
            return True
        time.sleep(0.02)
    return False


class TestHarm:
    def test_one_that_raises(self, capfd: pytest.CaptureFixture[str]) -> None:
        """One warning; what it missed is told when the run goes on."""
        raises = "logger=tests.support.notes:Raises"
        assert main([*SMALL, raises, "hydra.run.dir=run"]) == 0
        err = capfd.readouterr().err
        assert err.count("\n") == err.count("warning") == 1
        assert "ConnectionError: the server is on holiday" in err
        run = Path("run")
        assert status(run) == ("finished", None)
        assert count_rows(run) == 8
        assert heard(run, "log") == expected(run)[:2]
        assert main(["resume=run", f"total_steps={128 * 10}"]) == 0
        assert capfd.readouterr().err == ""
        assert heard(run, "log") == expected(run)
        assert count_rows(run) == 10

    def test_one_that_leaves_is_missed(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert main([*SMALL, "logger=tests.support.notes:Leaves", "hydra.run.dir=run"]) == 0
        assert "SystemExit" in capfd.readouterr().err
        assert count_rows(Path("run")) == 8

    def test_one_that_hangs(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trackers, "PATIENCE", 5)
        assert main([*SMALL, "logger=tests.support.notes:Hangs", "hydra.run.dir=run"]) == 0
        err = capfd.readouterr().err
        assert err.count("warning") == 1
        assert "did not finish in time" in err
        assert Path("run/hanging").exists()
        assert status(Path("run")) == ("finished", None)
        assert count_rows(Path("run")) == 8

    def test_a_folder_that_is_a_link(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Somebody else's run directory may hold one; nothing is written behind it."""
        assert main([*SMALL, "hydra.run.dir=run"]) == 0
        Path("else").mkdir()
        Path("run/trackers").symlink_to(Path("else").absolute())
        assert main(["resume=run", NOTES, f"total_steps={128 * 9}"]) == 0
        assert "symbolic link" in capfd.readouterr().err
        assert list(Path("else").iterdir()) == []


class TestSweeps:
    def test_a_sweep_is_a_group(self) -> None:
        words = settings("trpo", "CartPole-v1", total_steps=128, seed="1,2")
        assert main(["-m", *words, NOTES, "hydra.sweep.dir=both"]) == 0
        found = [heard(Path("both", number), "run")[0] for number in "01"]
        assert [(run["group"], run["name"]) for run in found] == [
            ("both", "seed=1"),
            ("both", "seed=2"),
        ]
        assert found[0]["id"] != found[1]["id"]

    def test_a_search_is_one_too(self, tmp_path: Path) -> None:
        run = tmp_path / "search" / "trials" / "3" / "seed_1"
        run.mkdir(parents=True)
        (tmp_path / "search" / "tune.json").touch()
        assert group_and_name(run) == ("search", "trials/3/seed_1")


class TestRefused:
    """Exit status 2, one paragraph, nothing written."""

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("wandbb", ["not one of its values", "wandb, mlflow, trackio", "Did you mean wandb?"]),
            ("no_such_module:Lines", ["there is no module no_such_module"]),
            ("tests.support.notes:Note", ["has no Note"]),
            ("tests.support.notes:Mute", ["Mute has no method log"]),
            ("[wandb,wandb]", ["names no trackers, or one of them twice"]),
            ("3", ["names no trackers"]),
        ],
    )
    def test_values(
        self, value: str, words: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        self.check(value, words, capfd, tmp_path)

    @pytest.mark.parametrize("name", base.BUILT_IN)
    def test_a_package_that_is_missing(
        self,
        name: str,
        capfd: pytest.CaptureFixture[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Also where the tracker has left a folder of its name on Python's path."""
        monkeypatch.setattr("sys.path", [str(tmp_path), str(REPOSITORY)])
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / name).mkdir()
        with pytest.raises(UserError) as error:
            base.check([name])
        assert f'pip install "trpo_cli[{name}]"' in str(error.value)

    def check(
        self, value: str, words: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert main([*SMALL, f"logger={value}"]) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1
        assert [word for word in [*words, "logger="] if word not in err] == []
        assert list(tmp_path.iterdir()) == []

    def test_a_module_that_nobody_has_named(self) -> None:
        """A stranger's run directory imports nothing without --trust."""
        words = settings("trpo", "CartPole-v1", total_steps=128)
        assert main([*words, "hydra.run.dir=run"]) == 0
        text = Path("run/config.yaml").read_text()
        text = text.replace("logger: null", "logger: tests.support.notes:Notes")
        with pytest.raises(UserError, match="--trust"):
            config_from_yaml(text)
        assert config_from_yaml(text, trusted=True).logger == "tests.support.notes:Notes"


class TestFiles:
    def test_rows_come_whole_and_once(self, tmp_path: Path) -> None:
        path = tmp_path / "rows"
        rows = Rows(path)
        assert rows.new() == []
        path.write_text('{"step": 1}\n{"step"')
        assert rows.new() == [{"step": 1}]
        with open(path, "a") as file:
            file.write(': 2}\n{"step": 3}\n')
        assert rows.new() == [{"step": 2}, {"step": 3}]
        assert rows.new() == []

    def test_a_copied_folder_counts_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "trackers").mkdir()
        first = Told(tmp_path, "wandb", "one")
        first.write(begun=True, **{"metrics.jsonl": 7})
        assert Told(tmp_path, "wandb", "one").content["metrics.jsonl"] == 7
        other = Told(tmp_path, "wandb", "other")
        assert (other.content["metrics.jsonl"], other.resumed) == (-1, False)

    def test_settings_are_named_as_on_the_command_line(self) -> None:
        nested = {"seed": 3, "env": {"id": "A-v0", "kwargs": {}, "atari": {"frame_skip": 4}}}
        assert dict(flat(nested)) == {
            "seed": 3,
            "env.id": "A-v0",
            "env.kwargs": {},
            "env.atari.frame_skip": 4,
        }


def test_the_example_of_the_documentation() -> None:
    """At most a dozen lines, and it does what the page says."""
    page = (REPOSITORY / "docs" / "trackers.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    Path("my_tracker.py").write_text(code)
    assert main([*SMALL, "logger=my_tracker:Lines", "hydra.run.dir=run"]) == 0
    first, *told, last = Path("run/lines.txt").read_text().splitlines()
    assert first == "run None trpo False"
    assert told == [
        f"{step} {metrics.get('policy/kl')} {metrics.get('eval/return_mean')}"
        for step, metrics in expected(Path("run"))
    ]
    assert last == "finished"
