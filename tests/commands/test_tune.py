"""The command ``trpo-tune`` itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trpo_cli.commands.tune import main
from trpo_cli.tune.settings import read
from trpo_cli.tune.study import Search

TINY = ["algo=vpg", "env=CartPole-v1", "total_steps=2048", "eval.episodes=2"]
SPACE = "algo.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text(SPACE)
    return "space.yaml"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=3"], "say how many with --seeds"),
        (["hydra.run.dir=x"], "name one with --out"),
        (["algo.learning_rate=1e-3"], "given on the command line and searched over"),
        (["eval.episodes=0"], "eval.episodes=0"),
        (["env=CartPole-v9"], "CartPole-v9"),
        (["--space", "none.yaml"], "--space none.yaml: there is no such file"),
        (["--trials", "0"], "0 is not a positive whole number"),
        (["--trails", "3"], "--trails"),
        (["total_steps=4096"], "total_steps is given twice: total_steps=2048 and total_steps=4096"),
        (["resume=last", "--trialz", "3"], "--trialz. Did you mean --trials?"),
        (["--out", "space.yaml"], "--out=space.yaml is a file"),
        (["resume=elsewhere"], "no search was begun there"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    arguments: list[str],
    words: str,
    space: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = [] if any(a.startswith("resume=") for a in arguments) else [*TINY, "--space", space]
    if "env=CartPole-v9" in arguments:
        kept.remove("env=CartPole-v1")
    if "eval.episodes=0" in arguments:
        kept.remove("eval.episodes=2")
    assert main([*kept, *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


@pytest.mark.parametrize("arguments", [[], ["total_steps=4096"], ["--trials", "3"]])
def test_a_search_for_nothing_named_is_refused_with_an_example(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "example: trpo-tune algo=ppo env=CartPole-v1" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_space_that_does_not_fit_the_rule(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / space).write_text("algo.max_kl: {low: 0.1, high: 1.0}")
    assert main([*TINY, "--space", space]) == 2
    error = capsys.readouterr().err
    assert "space.yaml" in error and "algo.max_kl" in error
    (tmp_path / space).write_text("algo.learning_rate: {low: -1.0, high: 1.0}")
    assert main([*TINY, "--space", space]) == 2
    assert "algo.learning_rate=-1.0 is out of range" in capsys.readouterr().err


def test_settings_that_nothing_reads_are_left_out_of_our_spaces_and_refused_in_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trpo_cli.commands.tune.search", lambda *_: 0)
    for env, out in (("CartPole-v1", "discrete"), ("Pendulum-v1", "continuous")):
        assert main(["algo=ppo", f"env={env}", "--out", out]) == 0
    said = capsys.readouterr().out
    assert said.count("not searched") == 1 and "here: policy.init_log_std" in said
    spaces = [json.loads((tmp_path / out / "tune.json").read_text())["space"] for out in (
        "discrete", "continuous")]  # fmt: skip
    assert spaces[1].splitlines()[:-1] == spaces[0].splitlines()
    assert spaces[1].splitlines()[-1].startswith("policy.init_log_std:")
    (tmp_path / "mine.yaml").write_text("policy.init_log_std: {low: -2.0, high: 0.0}")
    assert main(["env=CartPole-v1", "--space", "mine.yaml"]) == 2
    error = capsys.readouterr().err
    assert "mine.yaml: policy.init_log_std=-2 would change nothing" in error


def test_a_search_is_stopped_continued_and_reported(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--space", space, "--trials", "4", "--seeds", "2", "--out", "found", "--jobs", "1"]
    command = [sys.executable, "-m", "trpo_cli.commands.tune", *TINY, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    begun = process.stdout.readline()
    assert begun.startswith("4 trials of 2 seeds: at most 8 runs of 2,048 steps, 1 at a time")
    for line in process.stdout:
        if line.startswith("trial 0:"):
            break
    process.send_signal(signal.SIGTERM)
    said = process.stdout.read()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert "go on:     trpo-tune resume=found" in said
    assert main(["resume=found", "--space", space]) == 2
    assert "Only --trials and --jobs may change" in capsys.readouterr().err
    assert main(["resume=found", "--trials", "3", "-q"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("\n3 trials: 3 complete") and "trial 1:" not in said
    assert "3 trials: 3 complete" in said and "trpo-run -m algo=vpg" in said
    found = tmp_path / "found"
    names = {path.name for path in found.iterdir()}
    assert {"tune.json", "journal.log", "report.md", "trials.csv", "trials"} <= names
    runs = [p.parent for p in sorted(found.glob("trials/*/*/manifest.json"))]
    assert len(runs) == 6
    assert {json.loads((run / "manifest.json").read_text())["status"] for run in runs} == {
        "finished"
    }
    records = Search(found, [], "tpe", True, 0, read(found).journal).records()
    for record, folder in zip(records, sorted(found.glob("trials/*")), strict=True):
        lines = [json.loads(p.read_text()) for p in sorted(folder.glob("*/eval.jsonl"))]
        assert record.finals == [line["return_mean"] for line in lines]


def test_a_refused_search_is_as_it_was(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its journal is gone, and its report, its table and the number of its trials stay."""
    found = tmp_path / "found"
    words = [*TINY, "--space", space, "--trials", "1", "--seeds", "1", "--out", str(found)]
    assert main(words) == 0
    (found / "journal.log").unlink()
    before = {path: path.read_bytes() for path in found.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([f"resume={found}", "--trials", "3"]) == 2
    out, error = capsys.readouterr()
    assert "the journal ends before trial 0" in error and error.count("\n") == 1 and not out
    after = {path: path.read_bytes() for path in found.rglob("*") if path.is_file()}
    assert {path.name for path in before if before[path] != after[path]} <= {".lock"}
    assert before.keys() == after.keys()
