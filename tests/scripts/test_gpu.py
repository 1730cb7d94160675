"""scripts/gpu.py: a dry run, what it judges, and that a failure or a cut costs nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import gpu
from gpu_parts import correct, returns
from gpu_parts.plan import TASKS, Case, Found, Plan, Skipped, composed, sized
from gpu_parts.profile import analysis, merged
from trpo_cli.training.trainer import Training

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_all_of_it_without_a_gpu(tmp_path: Path) -> None:
    """In a process of its own, without an installed package, in any working directory."""
    out = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUN, "--dry-run", "--out", str(out), "--seconds", "9999"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert list(found["parts"]) == list(gpu.PARTS)
    assert found["parts"]["returns"]["cases"].keys() == {"HalfCheetah-v5 ppo"}
    for name, part in found["parts"].items():
        for case, its in part["cases"].items():
            on_warp = "Warp" in case or name in ("kernels", "returns")
            assert its["status"] == ("skipped" if on_warp else "ok"), case
            assert (f"{name}: {case}" in found["not_run"]) == on_warp
    rules = {f"CartPole {rule}" for rule in correct.trajectory_rules()}
    assert rules < found["parts"]["correct"]["cases"].keys()


RUN = f"import runpy; runpy.run_path({str(ROOT / 'scripts/gpu.py')!r}, run_name='__main__')"


def test_the_device_does_what_the_cpu_does() -> None:
    """Numpy and torch, on the CPU, differ by some rounding: not by nothing."""
    found: Found = {}
    correct.products("CartPole", Plan("cpu", dry=True), found)
    assert not found["wrong"]
    assert 0.0 < found["differences"]["vjp"]["found"] < found["differences"]["vjp"]["bound"]
    found = {}
    correct.update("CartPole", "trpo", False, Plan("cpu", dry=True), found)
    assert "wrong" not in found and 0.0 < found["policy"] < found["bound"]


def test_a_device_that_does_something_else_is_noticed() -> None:
    """One that starts a thousandth off: a hundred times the bounds of what is compared."""

    class Off(Plan):
        @contextmanager
        def training(self, *settings: str) -> Iterator[Training]:
            with Plan.training(self, *settings) as training:
                training.policy.parameters *= 1.001
                yield training

    found: Found = {}
    correct.products("CartPole", Off("cpu", dry=True), found)
    assert "outputs" in found["wrong"] and "jvp" in found["wrong"]


def failing(plan: Plan, found: Found) -> None:
    found["so far"] = 1
    raise ValueError("no such thing")


def sleeping(plan: Plan, found: Found) -> None:
    found["so far"] = 2
    time.sleep(60.0)


def skipping(plan: Plan, found: Found) -> None:
    raise Skipped("not here")


def working(plan: Plan, found: Found) -> None:
    found["line"] = f"within {plan.left:.0f} s"


def wrong(plan: Plan, found: Found) -> None:
    found.update(line="1 and 2", wrong="not equal")


def run(
    cases: dict[str, tuple[list[Case], int]], out: Path, *words: str
) -> tuple[int, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "GRACE", 0.0)
        patch.setattr(
            gpu, "PARTS", {k: (lambda _, v=v: v, share) for k, (v, share) in cases.items()}
        )
        status = gpu.main(["--dry-run", "--out", str(out), *words])
    return status, json.loads(out.read_text())


def test_a_failure_costs_its_own_case_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {
        "first": ([Case("a", failing), Case("b", working)], 1),
        "second": ([Case("c", skipping), Case("d", wrong)], 1),
    }
    status, found = run(parts, tmp_path / "out.json")
    assert status == 1
    cases = {k: v for part in found["parts"].values() for k, v in part["cases"].items()}
    assert {k: v["status"] for k, v in cases.items()} == {
        "a": "failed", "b": "ok", "c": "skipped", "d": "failed",
    }  # fmt: skip
    assert cases["a"]["so far"] == 1 and "in failing" in cases["a"]["traceback"]
    assert found["not_run"] == ["second: c"]
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        "first a failed 0.0 ValueError: no such thing",
        lines[2],
        "second c skipped 0.0 not here",
        "second d failed 0.0 not equal; 1 and 2",
    ]


def test_a_part_ends_with_its_share_of_the_time(tmp_path: Path) -> None:
    """One of four seconds for the first part; the second has all that is left."""
    parts = {
        "first": ([Case("a", sleeping), Case("b", working)], 1),
        "second": ([Case("c", working)], 3),
    }
    began = time.monotonic()
    status, found = run(parts, tmp_path / "out.json", "--seconds", "4")
    assert status == 0 and time.monotonic() - began < 3.0
    first, second = found["parts"]["first"]["cases"], found["parts"]["second"]["cases"]
    assert first["a"]["status"] == "cut off" and first["a"]["so far"] == 2
    assert first["b"] == {"status": "not run"} and second["c"]["status"] == "ok"
    assert second["c"]["line"] == "within 3 s"
    assert found["not_run"] == ["first: a", "first: b"]


def test_what_is_there_when_it_is_killed(tmp_path: Path) -> None:
    """After each case all is written, and what was not run until then."""
    out = tmp_path / "out.json"

    def looking(plan: Plan, found: Found) -> None:
        found["seen"] = json.loads(out.read_text())

    parts = {"first": ([Case("a", working), Case("b", looking)], 1), "second": ([], 1)}
    _, found = run(parts, out, "--seconds", "10")
    seen = found["parts"]["first"]["cases"]["b"]["seen"]
    assert seen["parts"]["first"]["cases"]["a"]["line"] == "within 5 s"
    assert seen["not_run"] == ["first: b", "second"]
    assert found["not_run"] == []


@pytest.mark.parametrize("env", [*TASKS, "CartPole-v1", "ALE/Pong-v5"])
@pytest.mark.parametrize("rule", ["ppo", "trpo"])
def test_all_settings_are_accepted(env: str, rule: str) -> None:
    """A dry run has not all of them."""
    assert composed(*sized(rule, env, 64, 16)).sampler.num_envs == 64
    if env in returns.TASKS:
        config = composed(*returns.settings_of(env, rule))
        assert (config.algo.name, config.env.id, config.env.backend) == (rule, env, "warp")


class TestProfile:
    def test_spans_that_overlap_count_once(self) -> None:
        assert merged([(0, 4, "a"), (1, 2, "b"), (4, 6, "c"), (8, 9, "d")]) == [
            (0, 6, "c"),
            (8, 9, "d"),
        ]

    def test_shares_kernels_and_gaps(self) -> None:
        """Two phases of 10 and 30: work runs for 4 + 1 of the first, and 1 + 4 of the second."""
        work = [(2, 6, "a"), (3, 5, "b"), (9, 11, "b"), (36, 40, "a")]
        found = analysis(work, [(0, 10, "collect"), (10, 40, "update")])
        assert found["busy"] == 10 / 40 and found["launches"] == 4
        assert found["phases"]["collect"] == {"milliseconds": 0.01, "busy": 0.5}
        assert found["phases"]["update"] == {"milliseconds": 0.03, "busy": 5 / 30}
        assert [(k["name"], k["microseconds"], k["count"]) for k in found["kernels"]] == [
            ("a", 8, 2),
            ("b", 4, 2),
        ]
        assert [
            (g["microseconds"], g["after"], g["before"], g["phase"]) for g in found["gaps"]
        ] == [
            (25, "b", "a", "update"),
            (3, "a", "b", "collect"),
        ]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--dry-run", "--seconds", "0"], "more than 0"), ([], "finds no GPU here. Try --dry-run")],
)
def test_bad_arguments(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.main(words)
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
