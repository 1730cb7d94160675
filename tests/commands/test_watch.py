"""``--watch``, and `last` for the folder that is meant."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli_stub import Cli
from tests.support.synthetic import write_run
from trpo_cli.commands import compare, evaluate, run, tune, watch
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import config_to_yaml
from trpo_cli.errors import UserError
from trpo_cli.runs.lock import Lock
from trpo_cli.sweeps import index
from trpo_cli.sweeps.last import named, search_named


def make_run(folder: Path, status: str = "finished", seed: int = 1) -> Path:
    write_run(folder, seed=seed, status=status)
    config = config_of("env=CartPole-v1", f"seed={seed}", "total_steps=48000")
    (folder / "config.yaml").write_text(config_to_yaml(config))
    return folder


def hold(folder: Path, process: int | None = None) -> None:
    """A lock file, of a process that goes on or of one that is gone."""
    if process is None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        process = gone.pid
    (folder / ".lock").write_text(f"process {process} on {platform.node()}\n")


class TestWatch:
    def test_a_finished_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        make_run(tmp_path / "run")
        assert run.main(["--watch", str(tmp_path / "run")]) == 0
        first, line, last = capsys.readouterr().out.splitlines()
        assert first.startswith("trpo on CartPole-v1, seed 1, in ")
        # 24,000 of 48,000 steps; 2,000 steps take 2 s
        assert " 50%  step 24,000  return 1000  KL 0.008 of 0.01  accepted 12 of 12" in line
        assert "1,000 steps/s  24 s left" in line and "evaluation 1000 ± 1" in line
        assert last == "finished"

    def test_a_run_that_was_killed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hold(make_run(tmp_path / "run", status="running"))
        assert run.main(["--watch", str(tmp_path / "run")]) == 0
        assert "stopped without saying why" in capsys.readouterr().out

    def test_a_run_whose_process_number_is_another_ones_now(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It was waited for without end."""
        hold(make_run(tmp_path / "run", status="running"), os.getpid())
        assert run.main(["--watch", str(tmp_path / "run")]) == 0
        assert "stopped without saying why" in capsys.readouterr().out

    def test_a_run_that_goes_on_is_seen_growing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = make_run(tmp_path / "run", status="running")
        lock = Lock(folder)
        whole = (folder / "metrics.jsonl").read_bytes()
        (folder / "metrics.jsonl").write_bytes(whole[: len(whole) // 2])  # a torn row at its end

        def sleep(_seconds: float) -> None:
            """The rest is written, then the run ends."""
            (folder / "metrics.jsonl").write_bytes(whole)
            manifest = json.loads((folder / "manifest.json").read_text())
            manifest |= {"status": "interrupted", "reason": "SIGTERM"}
            (folder / "manifest.json").write_text(json.dumps(manifest))
            lock.release()

        monkeypatch.setattr(watch.time, "sleep", sleep)
        assert run.main(["--watch", str(folder)]) == 0
        steps = [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:-1]]
        assert len(steps) == 2 and steps[0] < steps[1] == "24,000"

    def test_a_sweep(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        jobs = [["seed=1"], ["seed=2"], ["seed=3"]]
        index.new(["trpo-run", "-m"], None, [], 1, jobs, ["0", "1", "2"]).write(tmp_path)
        make_run(tmp_path / "0", seed=1)
        make_run(tmp_path / "1", "failed", seed=2)
        assert run.main(["--watch", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert "run 0 finished: return 1000 ± 1, 24,000 steps" in said
        assert "run 1 failed" in said and "3 runs: 1 finished, 1 waiting, 1 failed" in said

    def test_a_race_adds_runs(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs = [["seed=1"], ["seed=2"]]
        index.new(["trpo-run"], None, [], 1, jobs[:1], ["0"]).write(tmp_path)
        make_run(tmp_path / "0", seed=1)
        lock = Lock(tmp_path, "sweep")

        def sleep(_seconds: float) -> None:
            """Another run is added and ends, and so does the race."""
            index.new(["trpo-run"], None, [], 1, jobs, ["0", "1"]).write(tmp_path)
            make_run(tmp_path / "1", seed=2)
            lock.release()

        monkeypatch.setattr(watch.time, "sleep", sleep)
        assert run.main(["--watch", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert "run 1 finished: return 1000 ± 1" in said and "2 runs: 2 finished" in said

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--watch", "nowhere"], "nowhere does not exist"),
            (["--watch", "."], "is not a run directory"),
            (["--watch", ".", "algo=ppo"], "leave algo=ppo out"),
            (["--watch"], "expected one argument"),
        ],
    )
    def test_mistakes(
        self,
        words: list[str],
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run.main(words) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


class TestLast:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @staticmethod
    def age(folder: Path, seconds: float) -> None:
        for path in folder.iterdir():
            os.utime(path, (seconds, seconds))

    def test_the_newest_run_or_sweep(self) -> None:
        old, new = Path("outputs/A/trpo/1"), Path("outputs/B/trpo/1")
        for moment, folder in enumerate((new, old), start=1):
            make_run(folder)
            self.age(folder, 1000.0 * moment)
        assert named("last", "x") == old
        make_run(Path("outputs/multirun/s/0"))  # a part of its sweep, however new
        index.new(["trpo-run"], None, [], 1, [["seed=1"]], ["0"]).write(Path("outputs/multirun/s"))
        self.age(Path("outputs/multirun/s"), 500.0)
        assert named("last", "x") == old
        (Path("outputs/multirun/s") / ".lock").touch()  # it goes on
        assert named("last", "x") == Path("outputs/multirun/s")

    def test_a_search_is_meant_by_a_comparison_only(self) -> None:
        make_run(Path("outputs/A/1"))
        self.age(Path("outputs/A/1"), 1000.0)
        make_run(Path("outputs/tune/t/trials/0000/seed_0"))
        Path("outputs/tune/t/tune.json").write_text("{}")
        assert named("last", "x") == Path("outputs/A/1")
        assert named("last", "x", searches=True) == Path("outputs/tune/t")

    def test_of_searches_the_newest(self, capsys: pytest.CaptureFixture[str]) -> None:
        make_run(Path("outputs/A/1"))
        assert tune.main(["resume=last"]) == 2
        assert "resume=last: there is no search below outputs/" in capsys.readouterr().err
        for moment, name in enumerate(("new", "old"), start=1):
            folder = Path("outputs/tune", name)
            folder.mkdir(parents=True)
            (folder / "tune.json").write_text("{}")
            os.utime(folder / "tune.json", (-1000.0 * moment + 1e9,) * 2)
        assert search_named("last", "x") == Path("outputs/tune/new")
        Path("last").mkdir()
        assert search_named("last", "x") == Path("last")

    def test_a_folder_of_that_name_is_that_folder(self) -> None:
        make_run(Path("outputs/A/1"))
        Path("last").mkdir()
        assert named("last", "x") == Path("last") and named("outputs", "x") == Path("outputs")

    def test_where_nothing_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(UserError, match=r"x: there is no run or sweep below outputs/"):
            named("last", "x")
        assert run.main(["resume=last"]) == 2
        assert "resume=last: there is no run" in capsys.readouterr().err

    def test_a_folder_of_runs_names_the_newest(
        self, cli: Cli, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_run(Path("outputs/A/1"))
        said = "outputs is no run and no sweep. The newest below it is outputs/A/1."
        for words in (["resume=outputs"], ["--watch", "outputs"]):
            outcome = cli(*words)
            assert outcome.status == 2 and said in outcome.err
        assert evaluate.main(["outputs"]) == 2
        assert said in capsys.readouterr().err

    def test_every_command_knows_it(self, cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
        make_run(Path("outputs/A/1"))
        assert cli("resume=last").status == 0
        assert [folder for _, folder, _ in cli.resumed] == [Path("outputs/A/1")]
        assert evaluate.main(["last"]) == 2
        assert "outputs/A/1 has no checkpoint" in capsys.readouterr().err
        assert compare.main(["last", "--no-files"]) == 0
        assert "trpo" in capsys.readouterr().out


def test_quiet_runs_show_results_only(tmp_path: Path) -> None:
    words = ["env=CartPole-v1", "total_steps=200", "sampler.num_envs=2", "seed=1", "threads=1"]
    code = "import sys; from trpo_cli.commands.run import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", *words, "hydra.run.dir=r", "sampler.steps_per_env=50"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    first = done.stdout.splitlines()[0]
    assert first.startswith("finished after 200 of 200 steps")
    assert "run directory r: " in done.stdout and "tensorboard" not in done.stdout
