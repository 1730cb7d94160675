"""Several processes take the step of one; they start, stop, fail and resume as one run."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import running
from tests.support.processes_worker import outcome
from tests.support.running import (
    BATCH,
    REPOSITORY,
    RULES,
    count_rows,
    finish,
    lines,
    result,
    status,
)
from trpo_cli.commands import evaluate
from trpo_cli.commands import run as cli
from trpo_cli.distributed.processes import ALONE, Processes, join, process_count, processes_here
from trpo_cli.errors import UserError
from trpo_cli.runs import checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")

IMAGES = {"policy": "trpo_cnn", "policy.precision": "float32", "sampler.steps_per_env": 8}
LONG = {"total_steps": 10**7, "eval.every": 0, "eval.episodes": 0}


def pong(rule: str, value: str) -> list[str]:
    found = running.settings(rule, "ALE/Pong-v5", value=value, **IMAGES)
    absent = ("value.epochs", "value.minibatch_size") if value == "shared" else ()
    # Sums in another order differ in the last digits, and less damping leaves more of that.
    damping = ["algo.damping=0.1"] if rule == "trpo" else []
    return [s for s in found if not s.startswith(absent)] + damping


# Conjugate gradients on Hopper's nearly singular Fisher matrix blow rounding errors up by a
# hundred an iteration, in one process as well; more damping keeps them small.
DAMPED = {"npg": {"algo.damping": 1.0}, "trpo": {"algo.damping": 1.0}}
CASES: dict[str, tuple[list[str], int]] = {
    **{f"{r} CartPole": (running.settings(r, "CartPole-v1"), 4) for r in RULES},
    **{f"{r} Hopper": (running.settings(r, "Hopper-v4", **DAMPED.get(r, {})), 4) for r in RULES},
    # Sequences are of one process each.
    **{
        f"{rule} remembers": (
            running.settings(
                rule,
                "CartPole-v1",
                policy="gru",
                **{"policy.memory_size": 8, "sampler.num_envs": 5, **DAMPED.get(rule, {})},
            ),
            3,
        )
        for rule in ("ppo", "trpo")
    },
    # Minibatches and Fisher samples of which a process has none, unequal shares, every option.
    "ppo small": (
        running.settings(
            "ppo",
            "Hopper-v4",
            **{
                "sampler.num_envs": 5,
                "algo.minibatch_size": 3,
                "algo.epochs": 2,
                "algo.entropy_coef": 0.01,
                "algo.target_kl": 0.02,
                "value.minibatch_size": 3,
            },
        ),
        2,
    ),
    "dual small": (
        running.settings(
            "dual",
            "CartPole-v1",
            **{
                "sampler.num_envs": 5,
                "algo.minibatch_size": 3,
                "algo.epochs": 2,
                "algo.entropy_coef": 0.01,
                "value.minibatch_size": 3,
            },
        ),
        2,
    ),
    "vpg whole": (
        running.settings(
            "vpg", "CartPole-v1", **{"algo.entropy_coef": 0.01, "value.minibatch_size": "null"}
        ),
        3,
    ),
    "trpo empirical": (
        running.settings(
            "trpo", "CartPole-v1", **{"algo.fisher": "empirical", "algo.fisher_fraction": 0.5}
        ),
        3,
    ),
    "vpg average": (
        [
            s
            for s in running.settings(
                "vpg", "CartPole-v1", advantage="average_baseline", value="none"
            )
            if not s.startswith("value.")
        ]
        + ["advantage.discount_states=true"],
        4,
    ),
    "trpo few": (running.settings("trpo", "Hopper-v4", **{"algo.fisher_fraction": 0.01}), 2),
    **{f"{r} Pong {v}": (pong(r, v), 2) for r, v in [("trpo", "cnn"), ("trpo", "shared")]},
    "ppo Pong shared": (pong("ppo", "shared"), 2),
}
# Every rule once, every option and both kinds of value function are tried each time; every rule on
# both environments when all tests are.
SLOW = {f"{rule} {env}" for rule in RULES[::2] for env in ("Hopper",)}
SLOW |= {f"{rule} CartPole" for rule in RULES[1::2]} | {"trpo Pong shared"}
FAST = [case for case in CASES if case not in SLOW]
RESUMED = 40
"""Iterations of the run that is killed and resumed."""


def torchrun(
    *arguments: str, module: str = "trpo_cli", processes: int = 2, cwd: Path
) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def side_by_side(*arguments: str, module: str, processes: int) -> list[subprocess.Popen[str]]:
    """What torchrun starts, without its own two seconds."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in map(str, range(processes)):
        place = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
        place |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=REPOSITORY,
                env={**os.environ, **place, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def said(err: str) -> list[str]:
    """What our processes print to stderr, among the launcher's words."""
    return [line for line in err.splitlines() if line.startswith("trpo-run: ")]


def worker(launcher: subprocess.Popen[str], rank: int) -> int:
    """The process id of one of a launcher's processes."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            variables = (folder / "environ").read_bytes().split(b"\0")
            if int(parent) == launcher.pid and f"RANK={rank}".encode() in variables:
                return int(folder.name)
        except OSError:  # it ended meanwhile
            continue
    raise AssertionError(f"no process {rank}")


def wait_for_rows(process: subprocess.Popen[str], run_dir: Path, rows: int) -> None:
    until = time.monotonic() + 60.0
    while count_rows(run_dir) < rows:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


def check_close(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found["generators"] == wanted["generators"]
    np.testing.assert_allclose(found["recent"], wanted["recent"], rtol=1e-5)
    check_rows(found["rows"], wanted["rows"])
    for key, array in wanted["arrays"].items():
        if key.partition("/")[0] in ("policy", "value", "algo"):
            scale = max(1.0, float(np.abs(array).max(initial=0.0)))
            np.testing.assert_allclose(
                found["arrays"][key], array, rtol=1e-4, atol=3e-5 * scale, err_msg=key
            )


def check_rows(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        assert row.keys() == other.keys()
        for key, value in other.items():
            if isinstance(value, float):
                assert row[key] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), key
            elif key != "trust_region/cg_iterations":  # a residual at the limits of 32 bits
                assert row[key] == value, key


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes make of the fast cases."""
    return outcomes(tmp_path_factory.mktemp("together"), {case: CASES[case] for case in FAST}, 2)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes make of the run that others kill."""
    cases = {"killed": (running.settings("trpo", "CartPole-v1", **LONG), RESUMED)}
    found: dict[str, Any] = outcomes(tmp_path_factory.mktemp("unbroken"), cases, 2)["killed"]
    return found


def outcomes(folder: Path, cases: dict[str, Any], processes: int) -> dict[str, Any]:
    (folder / "cases.json").write_text(json.dumps(cases))
    arguments = [str(folder / "cases.json"), str(folder / "out")]
    started = side_by_side(*arguments, module="tests.support.processes_worker", processes=processes)
    for process in started:
        code, _, err = finish(process, 300.0)
        assert code == 0, err
    found: dict[str, Any] = pickle.loads((folder / "out").read_bytes())
    return found


class TestTwoProcesses:
    @pytest.mark.parametrize("case", FAST)
    def test_take_the_steps_of_one(self, together: dict[str, Any], case: str) -> None:
        check_close(together[case], outcome(*CASES[case]))

    @pytest.mark.slow
    def test_with_every_rule_everywhere(self, tmp_path: Path) -> None:
        for case, found in outcomes(tmp_path, {case: CASES[case] for case in SLOW}, 2).items():
            check_close(found, outcome(*CASES[case]))

    @pytest.mark.slow
    def test_so_do_three(self, tmp_path: Path) -> None:
        cases = {case: CASES[case] for case in CASES if "Pong" not in case}
        for case, found in outcomes(tmp_path, cases, 3).items():
            check_close(found, outcome(*cases[case]))


class TestRun:
    @pytest.mark.slow
    @pytest.mark.parametrize("victim", [1, 0])
    def test_a_killed_process_ends_it_and_it_resumes(
        self, tmp_path: Path, unbroken: dict[str, Any], victim: int
    ) -> None:
        """To the bit as if never stopped."""
        settings = running.settings("trpo", "CartPole-v1", **LONG)
        launcher = torchrun(*settings, "hydra.run.dir=run", cwd=tmp_path)
        run_dir = tmp_path / "run"
        wait_for_rows(launcher, run_dir, 3)
        os.kill(worker(launcher, victim), signal.SIGKILL)
        code, out, err = finish(launcher)
        assert code == 1  # the launcher's own
        assert "exitcode  : 3" in err and "Traceback" not in out
        (told,) = said(err)
        assert "another process of this run died or failed" in told
        assert f"torchrun --nproc-per-node=2 -m trpo_cli resume={run_dir}" in told
        if victim:
            assert "2 processes" in out
            assert status(run_dir) == ("failed", "another process of this run died or failed.")

        assert count_rows(run_dir) < RESUMED
        resumed = torchrun("resume=run", f"total_steps={RESUMED * BATCH}", cwd=tmp_path)
        code, _, err = finish(resumed)
        assert code == 0, err
        assert count_rows(run_dir) == RESUMED
        found, wanted = result_without_eval(run_dir), unbroken
        assert found["metrics"] == wanted["rows"]
        assert found["arrays"] == {
            key: (a.dtype.str, a.shape, a.tobytes()) for key, a in wanted["arrays"].items()
        }
        manifest = json.loads((run_dir / "manifest.json").read_text())
        assert manifest["processes"] == manifest["resumed"][0]["processes"] == 2

    @pytest.mark.slow
    def test_a_signal_saves_it_and_another_number_of_processes_resumes(
        self, tmp_path: Path
    ) -> None:
        settings = running.settings("npg", "Hopper-v4", **LONG, **DAMPED["npg"])
        launcher = torchrun(*settings, "hydra.run.dir=run", cwd=tmp_path)
        run_dir = tmp_path / "run"
        wait_for_rows(launcher, run_dir, 2)
        launcher.send_signal(signal.SIGTERM)
        _, _, err = finish(launcher)
        assert said(err) == ["trpo-run: interrupted by SIGTERM."]
        assert err.count("writing a checkpoint") == 1
        assert status(run_dir) == ("interrupted", "SIGTERM")
        rows = count_rows(run_dir)
        assert checkpoint.latest(run_dir).name == f"step_{rows * BATCH}"

        total = (rows + 2) * BATCH
        assert cli.main([f"resume={run_dir}", f"total_steps={total}"]) == 0
        last = lines(run_dir / "metrics.jsonl")[-2:]
        assert [row["step"] for row in last] == [total - BATCH, total]
        if rows <= 12:  # later on, differences in the last bits have grown
            wanted = outcome(settings, rows + 2)["rows"]
            check_rows([running.untimed(row) for row in last], wanted[-2:])

    @pytest.mark.slow
    def test_a_failure_in_one_process_is_that_of_all(self, tmp_path: Path) -> None:
        faulty = {"kind": "observation", "at": 75, "discrete": "true", "process": 1}
        settings = running.settings("trpo", "tests.support.faulty_envs:Faulty/Faulty-v0", **LONG)
        more = [f"+env.kwargs.{key}={value}" for key, value in faulty.items()]
        launcher = torchrun(*settings, *more, "hydra.run.dir=run", cwd=tmp_path)
        _, _, err = finish(launcher)
        (told,) = said(err)
        where = "observation of environment 2 is not finite: observation[2] is nan"
        at = 2 * BATCH + (75 - 2 * 32) * 4 + 3
        assert where in told and f"environment step {at}" in told
        assert f"step_{2 * BATCH}: torchrun" in told
        assert status(tmp_path / "run")[0] == "failed"
        crash = tmp_path / "run" / f"crash_{2 * BATCH}"
        assert json.loads((crash / "fault.json").read_text())["environment"] == 2
        assert (crash / "batch.safetensors").exists()

    def test_bad_input_is_told_once_and_leaves_nothing(self, tmp_path: Path) -> None:
        settings = running.settings("trpo", "CartPole-v1", **{"sampler.num_envs": 1})
        _, out, err = finish(torchrun(*settings, "hydra.run.dir=run", cwd=tmp_path))
        (told,) = said(err)
        assert "sampler.num_envs=1 is too small for 2 processes" in told
        assert "exitcode  : 2" in err and out == ""
        assert list(tmp_path.iterdir()) == []


def result_without_eval(run_dir: Path) -> dict[str, Any]:
    (run_dir / "eval.jsonl").touch()
    return result(run_dir)


class TestRefused:
    @pytest.mark.parametrize("words", [["-m", "seed=1,2"], ["--selftest"]])
    def test_what_makes_runs_of_one_process(self, words: list[str]) -> None:
        with pytest.raises(UserError, match=f"{words[0]} makes runs of one process.*2 processes"):
            cli.prepare(words, Processes(0, 2))

    def test_evaluation(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name, value in launched(1).items():
            monkeypatch.setenv(name, value)
        assert evaluate.main(["run"]) == 0
        assert capsys.readouterr().err == ""
        monkeypatch.setenv("RANK", "0")
        assert evaluate.main(["run"]) == 2
        assert "leave torchrun out" in capsys.readouterr().err


def launched(rank: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }


class TestEnvironment:
    def test_without_a_launcher(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in launched(0):
            monkeypatch.delenv(name, raising=False)
        assert join() is ALONE and process_count() == processes_here() == 1
        monkeypatch.setenv("WORLD_SIZE", "4")  # some clusters set it everywhere
        assert join() is ALONE and processes_here() == 1

    def test_with_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in launched(0).items():
            monkeypatch.setenv(name, value)
        assert (process_count(), processes_here()) == (4, 2)

    def test_one_process_knows_nothing_of_it(self) -> None:
        code = (
            "import sys; from tests.support import running; "
            "from trpo_cli.training.trainer import Training; "
            "Training(running.config()).iterate(); "
            "assert not any(m.startswith('torch') for m in sys.modules), 'torch'"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
