"""The command ``trpo-tune`` itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import reference
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.tune import main
from trpo_cli.reference.store import read_trials
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
        (["--no-prune"], "--no-prune. Did you mean --prune?"),
        (["--prune", "never"], "--prune"),
        (["--first-seed", "-1"], "-1 is not a whole number >= 0"),
        (["--candidates", "space.yaml"], "space.yaml is no list of candidates"),
        (["resume=elsewhere", "--first-seed", "3"], "--first-seed cannot be given with resume="),
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


@pytest.mark.slow
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
    records = Search(found, [], "tpe", "median", 0, read(found).journal).records()
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


class TestCandidates:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("text", "arguments", "words"),
        [
            ("- {algo.learning_rat: 1}", [], "candidate 1: algo.learning_rat"),
            ("- {}\n- {discount: 1.5}", [], "candidate 2: discount=1.5"),
            ("- {}\n- {policy.init_log_std: -1.0}", [], "candidate 2: policy.init_log_std=-1"),
            (
                "- {}\n- {discount: 0.9}\n- {discount: 90e-2}",
                [],
                "2 and 3 are the same (discount=0.9)",
            ),
            ("- {}\n- {}", [], "candidates 1 and 2 are the same (the defaults)"),
            ("- {seed: 3}", [], "seed has to be the same for all candidates"),
            ("- {eval.deterministic: true}", [], "eval.deterministic has to be the same"),
            ("- {discount: 0.9}", ["discount=0.8"], "given on the command line and searched over"),
            ("", [], "four.yaml is no list of candidates"),
            ("- {}", ["--space", "four.yaml"], "cannot be given with --candidates four.yaml"),
            ("- {}\n- {discount: 0.9}", ["--trials", "1"], "is less than the 2 candidates"),
            ("- {algo: trpo}\n- {algo.epochs: 3}", [], "candidate 1: it has no algo.epochs"),
            ("- {}\n- {tuned: mujoco}", [], "tuned names a file of settings"),
            ("- {env.id: Acrobot-v1}", [], "env.id has to be the same"),
            ("- {hydra/launcher: basic}", [], "hydra/launcher has to be the same"),
            ("- {}", ["--candidates", "five.yaml"], "five.yaml: there is no such file"),
        ],
    )
    def test_mistakes_are_told_before_anything_is_written(
        self,
        text: str,
        arguments: list[str],
        words: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "four.yaml").write_text(text)
        task = [word for word in TINY if word != "algo=vpg"]
        task += [] if "algo: trpo" in text else ["algo=ppo"]
        assert main([*task, "--candidates", "four.yaml", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["four.yaml"]

    def test_all_have_a_value_for_every_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What stands there without: with policy=auto that of the network it becomes."""
        monkeypatch.setattr("trpo_cli.commands.tune.search", lambda *_: 0)
        (tmp_path / "four.yaml").write_text(
            "- {}\n- {algo.learning_rate: 1e-3, policy.hidden_sizes: [8]}\n- {policy: gru}"
        )
        options = ["--candidates", "four.yaml", "--first-seed", "1000", "--prune", "halving"]
        assert main(["algo=ppo", "env=CartPole-v1", *options, "--out", "found"]) == 0
        settings = read(tmp_path / "found")
        usual, gru = config_of("algo=ppo", "env=CartPole-v1"), config_of("policy=gru")
        keys = ["algo.learning_rate", "policy.hidden_sizes", "policy"]
        assert [list(one) for one in settings.candidates] == [keys] * 3
        rate = repr(usual.algo.learning_rate)
        assert [one["algo.learning_rate"] for one in settings.candidates] == [rate, "0.001", rate]
        sizes = [one["policy.hidden_sizes"] for one in settings.candidates]
        assert sizes[1] == "[8]"
        assert sizes[2] == str(vars(gru.policy)["hidden_sizes"]).replace(" ", "")
        assert [one["policy"] for one in settings.candidates][2] == "gru"
        assert (settings.trials, settings.prune) == (3, "halving")
        assert settings.seeds_used() == range(1000, 1003)


def test_the_settings_of_an_older_version_are_read(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trpo_cli.commands.tune.search", lambda *_: 0)
    found = tmp_path / "found"
    assert main([*TINY, "--space", space, "--seeds", "1", "--out", str(found)]) == 0
    content = json.loads((found / "tune.json").read_text())
    assert content["format"] == 3 and content["prune"] == "median"
    for key in ("first_seed", "candidates", "sha256"):
        del content[key]
    for prune, now in ((True, "median"), (False, "none")):
        (found / "tune.json").write_text(json.dumps({**content, "format": 2, "prune": prune}))
        assert read(found).prune == now and read(found).seeds_used() == range(1)
        assert main([f"resume={found}"]) == 0


@pytest.mark.slow
def test_candidates_race_go_on_and_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one learns nothing, so that it is given up, and the store leaves its run out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.yaml").write_text("- {}\n- {algo.learning_rate: 1.0e-9}\n")
    options = ["--candidates", "two.yaml", "--seeds", "2", "--first-seed", "1000", "--jobs", "1"]
    options += ["--prune", "halving", "--out", "found"]
    assert (
        main(["algo=ppo", "env=CartPole-v1", "total_steps=12288", "eval.episodes=2", *options]) == 0
    )
    said = capsys.readouterr().out
    assert "2 trials: 1 complete, 1 given up early" in said
    assert "trial 1 given up at" in said and "seed=0,1,2,3,4" in said
    assert main(["resume=found", "--prune", "none"]) == 2
    assert main(["resume=found", "--first-seed", "0"]) == 2
    assert main(["resume=found", "--candidates", "two.yaml"]) == 2
    assert capsys.readouterr().err.count("goes on as it began") == 3
    before = (tmp_path / "found" / "journal.log").read_bytes()
    assert main(["resume=found", "-q"]) == 0
    assert (tmp_path / "found" / "journal.log").read_bytes() == before
    assert reference.main(["add", "found", "--store", "store"]) == 0
    said, left_out = capsys.readouterr()
    trials = read_trials(tmp_path / "store")
    assert {trial.seed for trial in trials} == {1000, 1001}
    rows = (tmp_path / "found" / "trials.csv").read_text().splitlines()
    assert rows[1].startswith("0,complete,") and rows[2].startswith("1,pruned,,")
    runs = len(list((tmp_path / "found").glob("trials/*/*/manifest.json")))
    assert len(trials) + left_out.count("left out: ") == runs
