"""An unfinished run never exits with status 0, whatever ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import running
from trpo_cli.commands import run as trpo_run
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.failures import guarded
from trpo_cli.sweeps.index import Job
from trpo_cli.sweeps.overview import Row
from trpo_cli.sweeps.pool import Pool
from trpo_cli.sweeps.supervise import supervise

REGISTERED = """
import sys
import gymnasium
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

def make(**kwargs):
    sys.exit(0)

gymnasium.register("Leaving-v0", make)
"""
MODULES = {
    "import": ("sys.exit(0)", "importing {} failed with SystemExit: 0"),
    "constructor": (REGISTERED, "could not be constructed: 0"),
}


def faulty(kind: str, run_dir: Path, **changes: object) -> list[str]:
    few = {"total_steps": 4 * running.BATCH, "eval.every": 0, "eval.episodes": 0, **changes}
    words = running.settings("ppo", "tests.support.faulty_envs:Faulty/Faulty-v0", **few)
    extra = ["+env.kwargs.discrete=true", f"+env.kwargs.kind={kind}", "+env.kwargs.at=100"]
    return [*words, *extra, f"hydra.run.dir={run_dir}"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("leave", "environment 0 raised in step() at step 100 of this simulator: SystemExit: 0"),
        ("vanish", "failed with GeneratorExit: without a trace"),
    ],
)
def test_a_step_that_leaves(tmp_path, capsys, kind, words):
    run_dir = tmp_path / "run"
    assert trpo_run.main(faulty(kind, run_dir)) == 3
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
    if kind == "leave":  # the other one ends it before, when a second environment is tried out
        assert "The last good checkpoint is" in said
        assert running.status(run_dir)[0] == "failed"


@pytest.mark.parametrize("where", MODULES)
def test_a_module_that_leaves(tmp_path, capsys, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"leaving_{where}"
    text, words = MODULES[where]
    (tmp_path / f"{name}.py").write_text(f"import sys\n{text}\n")
    assert trpo_run.main([f"env={name}:Leaving-v0", "hydra.run.dir=run"]) == 2
    assert words.format(name) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_sys_exit_anywhere_is_told(capsys):
    def leave() -> None:
        raise SystemExit(0)

    assert guarded("trpo-run", leave, debug=False) == 3
    assert "called sys.exit(0)" in capsys.readouterr().err


def test_help_and_version_leave_with_0():
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as ended:
            trpo_eval([option])
        assert ended.value.code == 0


def test_a_process_that_only_says_that_all_is_well(tmp_path):
    """os._exit(0) cannot be caught; a sweep looks at what is there."""
    row = Row(0, "x", tmp_path / "0", 1)
    pool = Pool(1, main="tests.support.quick_run")
    ended = supervise([Job(0, ("print",), (), "0")], [row], pool)
    assert ended[0].status == 3 and "before the run did, with exit status 0" in ended[0].message


def trpo(*words: str, cwd: Path, shell: str = "") -> subprocess.CompletedProcess[str]:
    command = f'exec "$@" {shell}'
    return subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, "-m", "trpo_cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(running.REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )


class TestStreams:
    """What standard output is connected to changes nothing in the run directory."""

    WORDS = running.settings("vpg", "CartPole-v1", total_steps=2 * running.BATCH)

    @pytest.mark.parametrize("shell", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
    def test_closed(self, tmp_path, shell):
        done = trpo(*self.WORDS, "hydra.run.dir=run", cwd=tmp_path, shell=shell)
        assert (done.returncode, done.stderr) == (0, "")
        rows = running.lines(tmp_path / "run" / "metrics.jsonl")
        assert [row["iteration"] for row in rows] == [1, 2]
        assert running.status(tmp_path / "run") == ("finished", None)

    def test_a_reader_that_has_left(self, tmp_path):
        """The line with the seed is the first; nobody reads it."""
        words = [word for word in self.WORDS if not word.startswith("seed=")]
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "trpo_cli", *words, "hydra.run.dir=run"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(running.REPOSITORY)},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (0, "")
        assert running.status(tmp_path / "run") == ("finished", None)

    def test_a_full_one_is_told(self, tmp_path):
        done = trpo("--version", cwd=tmp_path, shell="> /dev/full")
        assert done.returncode == 3 and "No space left" in done.stderr

    @pytest.mark.parametrize(("word", "status"), [("--version", 3), ("alg=vpg", 2)])
    def test_the_status_stands_where_nothing_can_be_told(self, tmp_path, word, status):
        done = trpo(word, cwd=tmp_path, shell="> /dev/full 2> /dev/full")
        assert done.returncode == status
