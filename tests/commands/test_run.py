"""Good command lines: what reaches training, in which directory; failures; sweeps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli_stub import Cli
from trpo_cli.algos.ppo import PPOConfig
from trpo_cli.algos.vpg import VPGConfig
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.runs.directory import claim

REPOSITORY = Path(__file__).parents[2]
BASIC = "hydra/launcher=basic"


def test_defaults_are_trpo_on_hopper(cli: Cli) -> None:
    config = cli.config()
    assert (config.algo.name, config.env.id) == ("trpo", "Hopper-v4")


def test_the_default_directory_names_the_run(cli: Cli) -> None:
    cli("seed=7", "algo=ppo", "env=CartPole-v1")
    (_, run_dir, command) = cli.trained[0]
    stamp = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_7_[0-9a-f]{6}"
    assert re.fullmatch(rf"outputs/CartPole-v1/ppo/single_path/{stamp}", run_dir.as_posix())
    assert command == ["trpo-run", "seed=7", "algo=ppo", "env=CartPole-v1"]
    assert [p for p in cli.written() if "hydra" in p or p.endswith((".yaml", ".log"))] == []


def test_a_drawn_seed_is_printed_and_kept(cli: Cli) -> None:
    outcome = cli()
    seed = cli.trained[0][0].seed
    assert seed is not None and f"seed={seed} (drawn)" in outcome.out
    cli()
    assert cli.trained[1][0].seed != seed


def test_two_runs_of_one_second_have_two_directories(cli: Cli) -> None:
    cli("seed=1")
    cli("seed=1")
    assert cli.trained[0][1] != cli.trained[1][1]
    assert claim(Path("a")) == Path("a") and claim(Path("a")) == Path("a-2")


def test_hydra_run_dir(cli: Cli) -> None:
    cli.config("hydra.run.dir=here/${env.id}/${now:%Y}")
    run_dir = cli.trained[0][1]
    assert run_dir.parent.as_posix() == "here/Hopper-v4" and run_dir.name.isdigit()


@pytest.mark.parametrize("env_id", ["ghost:Ghost/Deep-v0", "Ghost/Deep-v0"])
def test_directories_are_safe_whatever_the_id(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, env_id: str
) -> None:
    (cli.folder / "ghost.py").write_text(
        "import gymnasium\n"
        "if 'Ghost/Deep-v0' not in gymnasium.registry:\n"
        "    gymnasium.register('Ghost/Deep-v0', entry_point="
        "'gymnasium.envs.classic_control.cartpole:CartPoleEnv', max_episode_steps=5)\n"
    )
    monkeypatch.syspath_prepend(cli.folder)
    assert cli.config(f"env={env_id}").env.id == env_id
    parts = cli.trained[0][1].parts
    assert len(parts) == 5 and ":" not in parts[1] and parts[1].endswith("Deep-v0")


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (UserError("algo.x=1 is wrong"), 2, "algo.x=1 is wrong"),
        (RunFailed("the loss is NaN"), 3, "the loss is NaN"),
        (ValueError("two\nlines"), 3, "ValueError: two lines"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_exit_status(cli: Cli, failure: BaseException, status: int, words: str) -> None:
    cli.failure = failure
    outcome = cli()
    assert outcome.status == status
    assert words in outcome.err and outcome.err.count("\n") == 1
    assert "Traceback" in cli("debug=true").err or status == 130


def test_input_found_bad_by_training_leaves_nothing_behind(cli: Cli) -> None:
    cli.failure = UserError("no")
    cli()
    cli("hydra.run.dir=some/where")
    assert cli.written() == []


def test_more_threads_than_cores_are_warned_of(cli: Cli) -> None:
    outcome = cli("threads=1000")
    assert outcome.status == 0 and "threads=1000" in outcome.err and outcome.err.count("\n") == 1


def test_whole_numbers_may_be_written_in_scientific_notation(cli: Cli) -> None:
    assert cli.config("total_steps=1e6").total_steps == 1_000_000
    assert cli.config("total_steps=2.5e3").total_steps == 2500
    assert cli.config("algo.max_kl=1e-3").algo.max_kl == 1e-3


def test_settings_that_look_like_nothing_special(cli: Cli) -> None:
    config = cli.config("policy.hidden_sizes=[32]", "env=Hopper-v5", "+env.kwargs.frame_skip=2")
    assert config.policy.hidden_sizes == [32]
    assert config.env.kwargs == {"frame_skip": 2}


class TestSweep:
    """In this process; tests/sweeps has those in worker processes."""

    def test_every_combination_runs_in_its_own_folder(self, cli: Cli) -> None:
        outcome = cli("-m", BASIC, "algo=ppo,vpg", "seed=1,2", "algo.learning_rate=1e-4")
        assert outcome.status == 0, outcome.err
        assert [(c.algo.name, c.seed) for c, _, _ in cli.trained] == [
            ("ppo", 1),
            ("ppo", 2),
            ("vpg", 1),
            ("vpg", 2),
        ]
        assert isinstance(cli.trained[0][0].algo, PPOConfig)
        assert isinstance(cli.trained[2][0].algo, VPGConfig)
        folders = [run_dir for _, run_dir, _ in cli.trained]
        assert [f.name for f in folders] == ["0", "1", "2", "3"]
        assert re.fullmatch(
            r"outputs/multirun/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folders[0].parent.as_posix()
        )
        assert not list(cli.folder.rglob(".hydra")) and not list(cli.folder.rglob("*.log"))

    def test_environments_with_and_without_a_file(self, cli: Cli) -> None:
        outcome = cli("env=CartPole-v1,Swimmer-v4", "-m", BASIC, "hydra.sweep.dir=s")
        assert outcome.status == 0, outcome.err
        assert [(c.env.id, c.discount) for c, _, _ in cli.trained] == [
            ("CartPole-v1", 0.99),
            ("Swimmer-v4", 0.9999),
        ]
        assert [f.as_posix() for _, f, _ in cli.trained] == ["s/0", "s/1"]

    def test_games_and_others_with_every_algorithm(self, cli: Cli) -> None:
        """Presets go where they belong, the choice of networks is checked for each."""
        outcome = cli(
            "-m", BASIC, "algo=ppo,trpo", "env=ALE/Pong-v5,CartPole-v1", "hydra.sweep.dir=s"
        )
        assert outcome.status == 0, outcome.err
        found = [
            (c.algo.name, c.env.id, c.total_steps, c.sampler.num_envs) for c, _, _ in cli.trained
        ]
        assert found == [
            ("ppo", "ALE/Pong-v5", 10_000_000, 8),
            ("ppo", "CartPole-v1", 1_000_000, 16),
            ("trpo", "ALE/Pong-v5", 10_000_000, 32),
            ("trpo", "CartPole-v1", 1_000_000, 16),
        ]

    def test_ranges_and_globs(self, cli: Cli) -> None:
        assert cli("-m", BASIC, "seed=range(3)", "algo=glob(*po)").status == 0
        assert len(cli.trained) == 6

    def test_two_sweeps_of_one_second(self, cli: Cli) -> None:
        cli("-m", BASIC, "seed=1")
        cli("-m", BASIC, "seed=1")
        assert cli.trained[0][1] != cli.trained[1][1]

    def test_a_failing_run_does_not_stop_the_others_but_shows(self, cli: Cli) -> None:
        cli.failure = RunFailed("the loss is NaN")
        outcome = cli("-m", BASIC, "seed=1,2")
        assert outcome.status == 3 and len(cli.trained) == 2
        assert "run 1: the loss is NaN" in outcome.err and "2 of 2 runs failed" in outcome.err
        assert "Traceback" not in outcome.err

    def test_interrupting_stops_the_sweep(self, cli: Cli) -> None:
        cli.failure = KeyboardInterrupt()
        assert cli("-m", BASIC, "seed=1,2").status == 130
        assert len(cli.trained) == 1


class TestOwnFiles:
    def test_config_dir_adds_options_and_wins_over_any_id(self, cli: Cli) -> None:
        (cli.folder / "own" / "env").mkdir(parents=True)
        (cli.folder / "own" / "env" / "CartPole-v1.yaml").write_text(
            "# @package _global_\ndiscount: 0.5\nenv:\n  id: CartPole-v1\n"
        )
        assert cli.config("-cd", "own", "env=CartPole-v1").discount == 0.5
        assert cli.config("--config-dir", "own", "env=CartPole-v1", "discount=0.6").discount == 0.6

    def test_an_experiment_chooses_options_and_values(self, cli: Cli) -> None:
        (cli.folder / "own" / "experiment").mkdir(parents=True)
        (cli.folder / "own" / "experiment" / "mine.yaml").write_text(
            "# @package _global_\ndefaults:\n  - override /algo: ppo\n"
            "  - override /env: CartPole-v1\n\nalgo:\n  epochs: 3\nseed: 5\n"
        )
        config = cli.config("-cd", "own", "+experiment=mine", "seed=6")
        assert (config.algo.name, config.algo.epochs, config.seed) == ("ppo", 3, 6)
        assert config.env.id == "CartPole-v1"

    def test_a_typo_in_a_file_names_the_file(self, cli: Cli) -> None:
        (cli.folder / "own" / "experiment").mkdir(parents=True)
        (cli.folder / "own" / "experiment" / "mine.yaml").write_text(
            "# @package _global_\nalgo:\n  max_k: 3\n"
        )
        outcome = cli("-cd", "own", "+experiment=mine")
        assert outcome.status == 2
        assert "experiment/mine" in outcome.err and "max_k" in outcome.err
        assert outcome.err.count("\n") == 1


class TestHydraFlags:
    def test_cfg_prints_the_configuration(self, cli: Cli) -> None:
        outcome = cli("--cfg", "job", "algo=ppo", "-p", "algo")
        assert outcome.status == 0 and "clip_range: 0.2" in outcome.out
        assert cli.written() == []

    def test_info_shows_where_files_come_from(self, cli: Cli) -> None:
        outcome = cli("--info", "searchpath")
        assert outcome.status == 0 and "components://" in outcome.out

    def test_hydra_help(self, cli: Cli) -> None:
        assert "Hydra" in cli("--hydra-help").out

    def test_completion_of_environments(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMP_LINE", "trpo-run env=CartP")
        monkeypatch.setenv("COMP_POINT", str(len("trpo-run env=CartP")))
        outcome = cli("-sc", "query=bash")
        assert outcome.status == 0 and "env=CartPole-v1" in outcome.out


def test_python_m_is_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", "trpo_cli", "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.startswith("trpo-run ")
