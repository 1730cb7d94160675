"""Real processes: killed, signalled, started twice, resumed from the command line."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.running import (
    BATCH,
    RULES,
    check_same,
    count_rows,
    finish,
    lines,
    result,
    start,
    status,
    wait_until,
)
from trpo_cli.runs import checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

LONG = {"total_steps": 10**7, "eval.every": 0}


def kill_randomly(
    tmp_path: Path, rule: str, env: str, seed: int, kills: int, iterations: int
) -> list[str]:
    """Kill a run again and again, resuming it each time, and let it end; returns the moments."""
    generator, moments = random.Random(seed), list[str]()
    run_dir = tmp_path / "run"
    changes = {"total_steps": iterations * BATCH}
    first = [*running.settings(rule, env, **changes), f"hydra.run.dir={run_dir}"]
    while len(moments) < kills:
        begun = (run_dir / "config.yaml").exists()
        process = start(*([f"resume={run_dir}"] if begun else first), cwd=tmp_path)
        kind = generator.choice(["rows", "rows", "saving", "directory"])
        rows, wanted = count_rows(run_dir), generator.randrange(1, 4)

        def reached(kind: str = kind, rows: int = rows, wanted: int = wanted) -> bool:
            if kind == "saving":
                return bool(list((run_dir / "checkpoints").glob(".tmp-*")))
            if kind == "directory":
                return (run_dir / "manifest.json").exists() and "running" in status(run_dir)
            return count_rows(run_dir) >= rows + wanted

        alive = wait_until(process, reached)
        time.sleep(generator.choice([0.0, 0.0, 0.005, 0.02, 0.05]))
        process.kill()
        code, _, err = finish(process)
        if not alive or code == 0:
            assert code == 0, err
            break  # it was quicker
        moments.append(f"{kind} after {count_rows(run_dir)} rows")
    code, _, err = finish(start(f"resume={run_dir}", cwd=tmp_path))
    if code == 2:
        assert "is finished" in err
    else:
        assert (code, err) == (0, "")
    return moments


class TestSigkill:
    @pytest.mark.parametrize(
        ("rule", "env"),
        [
            pytest.param("vpg", "Hopper-v4", marks=pytest.mark.slow),
            pytest.param("npg", "Hopper-v4", marks=pytest.mark.slow),
            ("trpo", "Hopper-v4"),
            pytest.param("ppo", "CartPole-v1", marks=pytest.mark.slow),
        ],
    )
    def test_five_times(
        self, tmp_path: Path, reference: Callable[..., Any], rule: str, env: str
    ) -> None:
        moments = kill_randomly(tmp_path, rule, env, RULES.index(rule), kills=5, iterations=14)
        assert len(moments) == 5
        check_same(tmp_path / "run", reference(running.config(rule, env, total_steps=14 * BATCH)))

    @pytest.mark.slow
    @pytest.mark.parametrize("env", ["Hopper-v4", "CartPole-v1"])
    @pytest.mark.parametrize("rule", RULES)
    @pytest.mark.parametrize("seed", range(100, 103))
    def test_many_times(
        self, tmp_path: Path, reference: Callable[..., Any], rule: str, env: str, seed: int
    ) -> None:
        moments = kill_randomly(tmp_path, rule, env, seed, kills=12, iterations=40)
        assert len(moments) >= 8
        check_same(tmp_path / "run", reference(running.config(rule, env, total_steps=40 * BATCH)))


class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
    def test_stop_and_save(self, tmp_path: Path, number: signal.Signals, code: int) -> None:
        self.stop(tmp_path / "run", number, code)

    @pytest.mark.slow
    def test_stop_save_and_resume(self, tmp_path: Path, reference: Callable[..., Any]) -> None:
        run_dir = tmp_path / "run"
        rows = self.stop(run_dir, signal.SIGINT, 130, twice=True)
        total = (rows + 2) * BATCH
        done, _, err = finish(start(f"resume={run_dir}", f"total_steps={total}", cwd=tmp_path))
        assert (done, err) == (0, "")
        expected = reference(running.config(**{**LONG, "total_steps": total}))
        assert result(run_dir)["metrics"] == expected["metrics"]
        assert result(run_dir)["arrays"] == expected["arrays"]
        again, _, err = finish(start(f"resume={run_dir}", cwd=tmp_path))
        assert again == 2 and "is finished" in err and err.count("\n") == 1

    def stop(self, run_dir: Path, number: signal.Signals, code: int, *, twice: bool = False) -> int:
        """Start a run and send it a signal; returns its rows.

        twice: meanwhile a second process is refused the directory.
        """
        cwd = run_dir.parent
        process = start(*running.settings(**LONG), f"hydra.run.dir={run_dir}", cwd=cwd)
        assert wait_until(process, lambda: count_rows(run_dir) >= 2)
        if twice:
            refused, _, err = finish(start(f"resume={run_dir}", cwd=cwd))
            assert refused == 2 and f"process {process.pid}" in err and err.count("\n") == 1
        process.send_signal(number)
        returned, _, err = finish(process)
        assert returned == code
        assert f"interrupted by {number.name}" in err and "Traceback" not in err
        assert status(run_dir) == ("interrupted", number.name)
        rows = count_rows(run_dir)
        assert checkpoint.latest(run_dir).name == f"step_{rows * BATCH}"
        return rows

    @pytest.mark.slow
    def test_a_second_ctrl_c_does_not_wait_for_the_iteration(self, tmp_path: Path) -> None:
        run_dir = tmp_path / "run"
        changes = {"sampler.steps_per_env": 10**6, "sampler.num_envs": 8, "threads": 2}
        settings = running.settings(**{**LONG, **changes})
        process = start(*settings, f"hydra.run.dir={run_dir}", cwd=tmp_path)
        try:
            assert wait_until(process, lambda: (run_dir / "metrics.jsonl").exists())
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            # Two signals during one long call of numpy's would be heard as one. On a machine of one
            # core a warning about threads comes first.
            assert any("Ctrl-C stops at once" in process.stderr.readline() for _ in range(2))
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            code, _, _ = finish(process, seconds=20)
        finally:
            process.kill()  # it would go on for hours
        assert code == 130
        assert status(run_dir) == ("interrupted", "SIGINT")
        assert lines(run_dir / "metrics.jsonl") == []

    @pytest.mark.parametrize("delay", [0.3, 0.9])
    def test_during_the_start(self, tmp_path: Path, delay: float) -> None:
        run_dir = tmp_path / "run"
        process = start(*running.settings(**LONG), f"hydra.run.dir={run_dir}", cwd=tmp_path)
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        code, _, _ = finish(process)
        # Before the programme's first line runs the system's own rule holds.
        assert code in (143, -signal.SIGTERM)
        if run_dir.exists():
            assert status(run_dir)[0] == "interrupted"
