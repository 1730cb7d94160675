"""`trpo-run --selftest`: what it finds, what it leaves, and that it can fail."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trpo_cli.commands import run as cli
from trpo_cli.commands import selftest
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.selftest import Outcome, differ, kill, killing, prepare, run, small
from trpo_cli.errors import RunFailed
from trpo_cli.simulators.mujoco.simulator import MujocoSimulator
from trpo_cli.training.trainer import Training

CARRIES = "Hidden/Curriculum-v0"
QUICK = ["sampler.num_envs=2", "sampler.steps_per_env=32"]


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Both the working directory and the place of temporary folders; has to stay empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("env", "rule"),
    [("CartPole-v1", "ppo"), pytest.param("Hopper-v4", "trpo", marks=pytest.mark.slow)],
)
def test_all_holds(empty: Path, capsys: pytest.CaptureFixture[str], env: str, rule: str) -> None:
    assert cli.main(["--selftest", f"env={env}", f"algo={rule}"]) == 0
    out, err = capsys.readouterr()
    words = [line.split()[0] for line in out.splitlines()]
    assert words == ["self-test", *["ok"] * 4, "self-test:"]
    assert "SIGKILL after 4 rows" in out and err == ""


@pytest.mark.slow
def test_what_is_not_promised_is_no_failure(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that cannot be restored, importable in the children as well."""
    name = f"tests.support.hidden_state_envs:{CARRIES}"
    assert cli.main(["--selftest", f"env={name}", "algo=ppo", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("no ") and "new episodes" in lines[3]
    assert lines[4].startswith("no ") and "the same rows up to there" in lines[4]


class TestFailures:
    """Each check finds what it is there for."""

    @pytest.fixture
    def unkilled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leaves out the check that takes longest."""
        monkeypatch.setattr(selftest, "killing", lambda *_: Outcome(True, ""))

    def words(self, capsys: pytest.CaptureFixture[str], *overrides: str) -> list[str]:
        assert cli.main(["--selftest", *overrides, *QUICK]) == 3
        lines = capsys.readouterr().out.splitlines()
        assert "did not hold" in lines[-1]
        return [line for line in lines if line.startswith("FAILED")]

    def test_another_future(
        self,
        empty: Path,
        unkilled: None,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Here only this process forgets: the children are as they should be."""
        real = MujocoSimulator.restore

        def forgets(simulator: MujocoSimulator, snapshot: Any, ids: Any = None) -> Any:
            snapshot.arrays["elapsed"][:] = 990
            return real(simulator, snapshot, ids)

        monkeypatch.setattr(MujocoSimulator, "restore", forgets)
        (line,) = self.words(capsys, "env=Hopper-v4")
        assert "saved and restored: put back in the same environment it gave another" in line

    def test_another_run(
        self,
        empty: Path,
        unkilled: None,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        iterate = Training.iterate

        def noisy(training: Training) -> dict[str, Any]:
            training.policy.parameters[0] += 1e-6 * training.threads
            return iterate(training)

        monkeypatch.setattr(Training, "iterate", noisy)
        lines = self.words(capsys, "env=CartPole-v1")
        assert len(lines) == 2 and all("instead of" in line for line in lines)

    def test_a_run_that_is_not_resumed_exactly(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = small(config_of("env=CartPole-v1", "algo=vpg"), [])
        other = prepare(dataclasses.replace(config, seed=2), tmp_path / "reference")
        run(other)
        outcome = killing(config, tmp_path, other, Outcome(True, ""))
        assert outcome.holds is False and "row 1" in outcome.words

    def test_a_run_that_fails(self, tmp_path: Path) -> None:
        folder = prepare(config_of("env=CartPole-v1", "seed=1"), tmp_path / "run")
        (folder / "config.yaml").write_text("algo: {name: pppo}\n")
        with pytest.raises(RunFailed, match=r"did not get to its end: trpo-run: .*pppo"):
            run(folder)
        assert kill(folder, 1) is False

    def test_the_reference_fails(self, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
        line = ["--selftest", "env=tests.support.faulty_envs:Faulty/Faulty-v0", "+env.kwargs.at=5"]
        assert cli.main([*line, "+env.kwargs.kind=reward", *QUICK]) == 3
        assert "reward of environment 0 is not finite" in capsys.readouterr().err


class TestSmall:
    def test_what_is_given_stays(self) -> None:
        given = ["algo=ppo", "env=CartPole-v1", "sampler.num_envs=16", "total_steps=5000", "seed=9"]
        config = small(config_of(*given), given)
        assert (config.sampler.num_envs, config.total_steps, config.seed) == (16, 5000, 9)
        assert (config.sampler.steps_per_env, config.threads) == (64, 1)


def test_differences_in_words() -> None:
    rows = [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0}]
    assert differ(rows, [dict(row) for row in rows]) == ""
    assert differ(rows, rows[:1]) == "1 rows instead of 2"
    assert differ(rows, [rows[0], {"step": 2, "a": 3.0}]) == "row 2: a is 3.0 instead of 2.0"


def test_a_check_that_raises_has_not_passed() -> None:
    def check() -> Outcome:
        raise ValueError("no\nidea")

    assert selftest.guarded(check) == Outcome(False, "ValueError: no idea")
