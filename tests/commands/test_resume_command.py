"""`resume=RUN_DIR` on the command line: whose configuration, which overrides, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_stub import Cli
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import Config, config_to_yaml


@pytest.fixture
def run_dir(cli: Cli) -> Path:
    """A directory with nothing but a configuration unlike the defaults."""
    folder = cli.folder / "a run, of 1=1"
    folder.mkdir()
    config = config_of("algo=ppo", "env=CartPole-v1", "seed=7", "discount=0.9", "eval.every=500")
    (folder / "config.yaml").write_text(config_to_yaml(config))
    return folder


def read(cli: Cli, run_dir: Path, *overrides: str) -> Config:
    outcome = cli(f"resume={run_dir}", *overrides)
    assert outcome.status == 0, outcome.err
    config, folder, command = cli.resumed[-1]
    assert folder == run_dir and command == ["trpo-run", f"resume={run_dir}", *overrides]
    assert cli.trained == []
    return config


def test_the_configuration_is_the_runs_own(cli: Cli, run_dir: Path) -> None:
    config = read(cli, run_dir)
    assert (config.algo.name, config.env.id, config.seed) == ("ppo", "CartPole-v1", 7)
    assert (config.discount, config.eval.every, config.resume) == (0.9, 500, None)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("total_steps=3e6", 3_000_000),
        ("device=cpu", "cpu"),
        ("threads=1", 1),
        ("debug=true", True),
        ("env.workers=2", 2),
        ("checkpoint.every=1000", 1000),
        ("checkpoint.minutes=0.5", 0.5),
        ("checkpoint.keep=9", 9),
        ("eval.every=0", 0),
        ("eval.episodes=3", 3),
        ("eval.deterministic=true", True),
    ],
)
def test_what_may_change(cli: Cli, run_dir: Path, override: str, value: Any) -> None:
    before, config = config_to_yaml(read(cli, run_dir)), read(cli, run_dir, override)
    found: Any = config
    for name in override.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == value
    after = config_to_yaml(config).splitlines()
    changed = [a for a, b in zip(after, before.splitlines(), strict=True) if a != b]
    assert len(changed) <= 1  # and nothing else went back to its default


@pytest.mark.parametrize(
    ("line", "named", "hint"),
    [
        ("seed=8", "seed=8", "keeps the configuration"),
        ("algo=trpo", "algo=trpo", "start a new run"),
        ("env=Hopper-v4", "env=Hopper-v4", "total_steps"),
        ("algo.clip_range=0.1", "algo.clip_range=0.1", "eval.*"),
        ("sampler.num_envs=2", "sampler.num_envs", "new run"),
        ("+env.kwargs.x=1", "env.kwargs.x", "new run"),
        ("total_step=5", "total_step=5", "total_steps"),
        ("hydra.run.dir=x", "hydra.run.dir=x", "its own directory"),
        ("total_steps=0", "total_steps=0", ">= 1"),
        ("total_steps=many", "total_steps=many", "a whole number"),
        ("checkpoint.keeep=3", "checkpoint.keeep=3", "Did you mean checkpoint.keep?"),
        ("eval=1", "eval=1", "eval.*"),
        ("checkpoint.minutes=-1", "checkpoint.minutes=-1", ">= 0"),
        ("resume=elsewhere", "given twice", "elsewhere"),
        ("total_steps=5,6", "total_steps=5,6", "-m"),
        ("-m", "resume=", "leave -m out"),
    ],
)
def test_what_may_not(cli: Cli, run_dir: Path, line: str, named: str, hint: str) -> None:
    outcome = cli(f"resume={run_dir}", line)
    assert outcome.status == 2
    assert named in outcome.err and hint in outcome.err
    assert outcome.err.startswith("trpo-run: ") and outcome.err.count("\n") == 1
    assert cli.resumed == [] and [p.name for p in run_dir.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere", "does not exist"),
        ("", "needs a run directory"),
        ("file", "is a file"),
        ("empty", "not a run directory"),
    ],
)
def test_what_is_no_run_directory(cli: Cli, value: str, words: str) -> None:
    (cli.folder / "file").touch()
    (cli.folder / "empty").mkdir()
    outcome = cli(f"resume={value}")
    assert outcome.status == 2 and words in outcome.err and outcome.err.count("\n") == 1
    assert cli.written() == ["empty", "file"]


def test_a_checkpoints_folder_is_taken_for_its_run(cli: Cli, run_dir: Path) -> None:
    folder = run_dir / "checkpoints" / "step_100"
    folder.mkdir(parents=True)
    for given in (folder, folder.parent):
        outcome = cli(f"resume={given}")
        assert outcome.status == 2 and f"write resume={run_dir}" in outcome.err


def test_quotes_and_null(cli: Cli, run_dir: Path) -> None:
    assert cli(f"resume='{run_dir}'").status == 0 and cli.resumed[-1][1] == run_dir
    assert cli("resume=null").status == 0 and len(cli.trained) == 1


def test_a_damaged_configuration(cli: Cli, run_dir: Path) -> None:
    (run_dir / "config.yaml").write_text("algo: {name: pppo}\n")
    outcome = cli(f"resume={run_dir}")
    assert outcome.status == 2 and "config.yaml" in outcome.err and "pppo" in outcome.err


def test_not_from_a_file(cli: Cli) -> None:
    (cli.folder / "own" / "experiment").mkdir(parents=True)
    (cli.folder / "own" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nresume: somewhere\n"
    )
    outcome = cli("-cd", "own", "+experiment=mine")
    assert outcome.status == 2 and "command line only" in outcome.err
