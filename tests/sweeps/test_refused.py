"""What is wrong with a command line that continues a sweep, told before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli_stub import Cli
from trpo_cli.config import Config, config_to_yaml
from trpo_cli.sweeps import index


@pytest.fixture
def sweep_dir(cli: Cli) -> Path:
    """A sweep of which run 0 has begun and run 1 has not."""
    folder = cli.folder / "s"
    (folder / "0").mkdir(parents=True)
    config = Config(seed=1, total_steps=100)
    (folder / "0" / "config.yaml").write_text(config_to_yaml(config))
    jobs = [["seed=1", "total_steps=100"], ["seed=2", "total_steps=100"]]
    index.new(["trpo-run", "-m"], None, [], 1, jobs, ["0", "1"]).write(folder)
    return folder


@pytest.mark.parametrize(
    ("line", "named", "hint"),
    [
        ("-m", "resume=s", "leave -m out"),
        ("algo=ppo", "algo=ppo", "start a new run"),
        ("seed=3", "seed=3", "total_steps"),
        ("hydra.sweep.dir=x", "hydra.sweep.dir=x", "its own directory"),
        ("hydra.launcher.jobs=0", "hydra.launcher.jobs=0", ">= 1"),
        ("hydra.launcher.jobs=1,2", "hydra.launcher.jobs=1,2", "swept"),
        ("hydra/launcher=worker", "hydra/launcher=worker", "Did you mean workers?"),
        ("total_steps=0", "total_steps=0", ">= 1"),
        ("total_steps=5,6", "total_steps=5,6", "several values"),
        ("eval.every=x", "eval.every=x", "run 0"),
        ("--config-dir=.", "--config-dir", "leave it out"),
    ],
)
def test_what_may_not_be_given(cli: Cli, sweep_dir: Path, line: str, named: str, hint: str) -> None:
    outcome = cli("resume=s", line)
    assert outcome.status == 2, outcome.out
    assert named in outcome.err and hint in outcome.err and outcome.err.count("\n") == 1
    files = sorted(p.relative_to(sweep_dir).as_posix() for p in sweep_dir.rglob("*"))
    assert [name for name in files if name != ".lock"] == ["0", "0/config.yaml", "sweep.json"]


def test_a_broken_index(cli: Cli, sweep_dir: Path) -> None:
    (sweep_dir / "sweep.json").write_text("{")
    outcome = cli("resume=s")
    assert outcome.status == 2 and "cannot be read as the index of a sweep" in outcome.err


def test_the_folder_of_another_sweep(cli: Cli, sweep_dir: Path) -> None:
    outcome = cli("-m", "seed=1,2", "hydra.sweep.dir=s", "hydra.sweep.subdir=again_${seed}")
    assert outcome.status == 2 and "trpo-run resume=s goes on with it" in outcome.err
