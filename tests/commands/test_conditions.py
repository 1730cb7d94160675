"""What may happen to a run's surroundings while it goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.commands.test_leaving import faulty
from tests.support import running
from tests.support.cli_stub import Cli
from tests.support.faulty_envs import Faulty
from trpo_cli.commands import run as trpo_run
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.multirun.plugins import refuse_interpolation
from trpo_cli.commands.multirun.start import quoted
from trpo_cli.commands.resume import resumed_config
from trpo_cli.errors import CannotWrite, UserError
from trpo_cli.runs import checkpoint
from trpo_cli.runs.logger import MetricsLogger
from trpo_cli.training.evaluation import Evaluator
from trpo_cli.training.loop import train


class TestWorkingDirectory:
    @pytest.fixture(autouse=True)
    def inside(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(running.REPOSITORY)

    def test_an_environment_that_changes_it(self, tmp_path):
        """In a step, with a relative run directory; the evaluation and a resumption as well."""
        words = faulty("move", Path("run"), **{"eval.episodes": 2})
        assert trpo_run.main(words) == 0
        assert Path.cwd() == Path("/")
        rows = running.lines(tmp_path / "run" / "metrics.jsonl")
        assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
        assert running.status(tmp_path / "run") == ("finished", None)
        os.chdir(tmp_path)
        assert trpo_eval(["run", "--episodes", "1"]) == 0
        assert len(running.lines(tmp_path / "run" / "eval.jsonl")) == 3

    def test_a_constructor_that_changes_it(self, tmp_path, monkeypatch):
        real = Faulty.__init__

        def moved(self, *args, **kwargs):
            os.chdir("/")
            real(self, *args, **kwargs)

        monkeypatch.setattr(Faulty, "__init__", moved)
        assert trpo_run.main(faulty("", Path("run"))) == 0
        assert running.status(tmp_path / "run") == ("finished", None)


def test_rows_that_are_deleted_meanwhile(tmp_path):
    """They would go nowhere, without a word."""
    logger = MetricsLogger(tmp_path, {})
    logger.write({"step": 1, "seconds": 1.0})
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(CannotWrite, match=r"metrics\.jsonl .* while the run was going on"):
        logger.write({"step": 2, "seconds": 2.0})
    logger.close()


@pytest.mark.parametrize("what", ["link", "folder"])
def test_another_folder_in_the_runs_place(tmp_path, monkeypatch, capsys, what):
    """What lies there is somebody else's, and the run's checkpoints are not."""
    run_dir, there = tmp_path / "run", tmp_path / ("run" if what == "folder" else "elsewhere")
    evaluate = Evaluator.run

    def replaced(*args: Any, **words: Any) -> Any:
        run_dir.rename(tmp_path / "moved")
        there.mkdir()
        (there / "metrics.jsonl").write_text("precious\n")
        if what == "link":
            run_dir.symlink_to(there)
        return evaluate(*args, **words)

    monkeypatch.setattr(Evaluator, "run", replaced)
    words = running.settings("vpg", "CartPole-v1", total_steps=2 * running.BATCH)
    assert trpo_run.main([*words, f"hydra.run.dir={run_dir}"]) == 3
    assert "another was put in its place, while the run" in capsys.readouterr().err
    assert [path.name for path in there.iterdir()] == ["metrics.jsonl"]
    assert (there / "metrics.jsonl").read_text() == "precious\n"
    assert running.count_rows(tmp_path / "moved") == 2


def test_a_terminal_that_is_closed(tmp_path):
    """SIGHUP: a checkpoint, and the status of a shell."""
    words = running.settings("vpg", "CartPole-v1", total_steps=10**6, **{"checkpoint.every": 0})
    process = running.start(*words, "hydra.run.dir=run", cwd=tmp_path)
    assert running.wait_until(process, lambda: running.count_rows(tmp_path / "run") >= 2)
    process.send_signal(signal.SIGHUP)
    assert running.finish(process)[0] == 128 + signal.SIGHUP
    assert running.status(tmp_path / "run") == ("interrupted", "SIGHUP")
    done = running.count_rows(tmp_path / "run") * running.BATCH
    assert checkpoint.latest(tmp_path / "run").name == f"step_{done}"


def test_no_checkpoint_more_than_asked_for(tmp_path, monkeypatch):
    """Killed behind the last checkpoint, before the older ones are removed."""
    config = running.config("vpg", "CartPole-v1", **{"eval.every": 0, "checkpoint.keep": 2})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "prune", lambda *args, **kwargs: None)
        running.interrupt_at(patch, MetricsLogger, "write", 4)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path, ["trpo-run"])
    steps = [path.name for path in (tmp_path / "checkpoints").glob("step_*")]
    assert len(steps) == 4
    with monkeypatch.context() as patch:
        running.interrupt_at(patch, MetricsLogger, "write", 1)
        with pytest.raises(KeyboardInterrupt):
            train(resumed_config(tmp_path, []), tmp_path, ["trpo-run"], resume=True)
    left = {path.name for path in (tmp_path / "checkpoints").glob("step_*")}
    assert left == {f"step_{4 * running.BATCH}", f"step_{5 * running.BATCH}"}


def test_one_paragraph_and_no_warning_of_numpys(tmp_path):
    words = faulty("huge", tmp_path / "run")  # a reward that 32 bits do not hold
    code, _, said = running.finish(running.start(*words, cwd=running.REPOSITORY))
    assert code == 3 and said.startswith("trpo-run: the reward of environment 0")
    assert "RuntimeWarning" not in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=" + 6000 * "9"], "has 6,000 characters, too many for a number"),
        (["seed=" + 4000 * "9"], "must be below 2^63"),
        (["discount=" + 400 * "9"], "discount=99999999999999999999... has 400 characters"),
        (["sampler=vine", f"sampler.actions={2**63}"], "must be below 2^63"),
        (["policy=mlp", "policy.hidden_sizes=[[64]]"], "policy.hidden_sizes=[[64]]"),
        (["policy=mlp", "policy.hidden_sizes=[1e30]"], "policy.hidden_sizes=[1e30]"),
        (["hydra.run.dir=" + 300 * "a"], "hydra.run.dir=" + 60 * "a" + "...: the name is too long"),
    ],
)
def test_a_users_mistakes(cli: Cli, words, said):
    outcome = cli("env=CartPole-v1", *words)
    assert outcome.status == 2 and said in outcome.err and len(outcome.err) < 400
    assert cli.written() == []


@pytest.mark.parametrize("what", ["observation_space", "action_space"])
def test_spaces_without_a_number(cli: Cli, monkeypatch, what):
    empty = spaces.Box(-1.0, 1.0, (0,), np.float32)
    real = Faulty.__init__

    def without(self, *args, **kwargs):
        real(self, *args, **kwargs)
        setattr(self, what, empty)

    monkeypatch.setattr(Faulty, "__init__", without)
    outcome = cli("env=tests.support.faulty_envs:Faulty/Faulty-v0")
    assert outcome.status == 2 and "which holds no number at all" in outcome.err


class TestPathsOfSweeps:
    @pytest.mark.parametrize("text", ["a{b}$(c), d", "it's", "\\'\\", "end\\", "${x}"])
    def test_are_quoted_for_hydra(self, text):
        from hydra.core.override_parser.overrides_parser import OverridesParser

        parsed = OverridesParser.create().parse_override(f"hydra.sweep.dir={quoted(text)}")
        value = parsed.value()
        assert getattr(value, "text", value) == text

    def test_that_would_be_filled_in(self, tmp_path):
        with pytest.raises(UserError, match=r"leave hydra/launcher out"):
            refuse_interpolation(tmp_path / "${x}")
        refuse_interpolation(tmp_path / "$(x) {y}")

    def test_a_sweep_goes_on_in_one(self, tmp_path, capsys):
        folder = tmp_path / "it's {a} $(b), c"
        words = running.settings("vpg", "CartPole-v1", total_steps=128, **{"eval.every": 0})
        quiet = [*words, "eval.episodes=0", "hydra/launcher=basic"]
        assert trpo_run.main(["-m", *quiet[:-2], f"hydra.sweep.dir={quoted(str(folder))}",
                              "hydra/launcher=basic"]) == 0  # fmt: skip
        assert trpo_run.main([f"resume={folder}", "total_steps=256"]) == 0
        assert running.count_rows(folder / "0") == 2
