"""Short runs to interrupt and resume: their settings, their files, their processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import Config
from trpo_cli.runs import checkpoint
from trpo_cli.runs.chain import timed
from trpo_cli.runs.event_file import events_files

RULES = ("vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual")
MINIBATCH_RULES = RULES[3:]
REPOSITORY = Path(__file__).parents[2]
BATCH = 128


def settings(rule: str = "trpo", env: str = "Hopper-v4", /, **changes: Any) -> list[str]:
    """The overrides of a run of eight iterations that saves after each and evaluates twice."""
    chosen = {
        "algo": rule,
        "env": env,
        "seed": 3,
        "threads": 1,
        "sampler.num_envs": 4,
        "sampler.steps_per_env": 32,
        "value.minibatch_size": 64,
        "value.epochs": 2,
        "total_steps": 8 * BATCH,
        "checkpoint.every": BATCH,
        "eval.every": 3 * BATCH,
        "eval.episodes": 3,
        **({"algo.minibatch_size": 64} if rule in MINIBATCH_RULES else {}),
        **changes,
    }
    return [f"{key}={value}" for key, value in chosen.items()]


def config(rule: str = "trpo", env: str = "Hopper-v4", /, **changes: Any) -> Config:
    """A tenth of a second of Hydra's time, spent once for the same settings."""
    return deepcopy(_composed(*settings(rule, env, **changes)))


@cache
def _composed(*overrides: str) -> Config:
    return config_of(*overrides)


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not timed(key)}


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON, which has no NaN and no Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def status(run_dir: Path) -> tuple[str, str | None]:
    content = json.loads((run_dir / "manifest.json").read_text())
    return content["status"], content["reason"]


def result(run_dir: Path) -> dict[str, Any]:
    """All that has to be the same for two runs to be called the same."""
    arrays, state = checkpoint.load(checkpoint.latest(run_dir))
    del state["seconds"], state["rows"]
    state["belongs_to"] = {
        key: value
        for key, value in state["belongs_to"].items()
        if not isinstance(value, str) or str(run_dir) not in value
    }
    return {
        "metrics": [untimed(row) for row in lines(run_dir / "metrics.jsonl")],
        "eval": [untimed(row) for row in lines(run_dir / "eval.jsonl")],
        "arrays": {key: (a.dtype.str, a.shape, a.tobytes()) for key, a in arrays.items()},
        "state": state,
        "best": (run_dir / "checkpoints" / "best").resolve().name,
    }


def check_same(run_dir: Path, expected: dict[str, Any]) -> None:
    """The run is the expected one to the bit, and its files are in order."""
    found = result(run_dir)
    for key, value in expected.items():
        assert found[key] == value, key
    seconds = [row["seconds"] for row in lines(run_dir / "metrics.jsonl")]
    assert seconds == sorted(seconds)
    assert status(run_dir) == ("finished", None)
    check_events(run_dir)
    hidden = [p.name for p in run_dir.rglob(".*") if p.name != ".lock"]
    assert hidden == []


def check_events(run_dir: Path) -> None:
    """TensorBoard shows the rows of metrics.jsonl and eval.jsonl, once each."""
    assert len(events_files(run_dir)) == 1
    events = EventAccumulator(str(run_dir), size_guidance={"scalars": 0})
    events.Reload()
    rows = lines(run_dir / "metrics.jsonl")
    for key in ("policy/kl", "value/loss"):
        scalars = events.Scalars(key)
        assert [event.step for event in scalars] == [row["step"] for row in rows]
        assert [event.value for event in scalars] == [np.float32(row[key]) for row in rows]
    evaluations = [r for r in lines(run_dir / "eval.jsonl") if "checkpoint" not in r]
    shown = [(event.step, event.value) for event in events.Scalars("eval/return_mean")]
    assert shown == [(r["step"], np.float32(r["return_mean"])) for r in evaluations]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, call: int) -> None:
    """Send SIGTERM to this process when a function is called for the `call`-th time."""
    real, calls = getattr(target, name), [0]

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    monkeypatch.setattr(target, name, interrupted)


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """`trpo-run` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "trpo_cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background may have been started to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str], seconds: float = 60.0) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def wait_until(
    process: subprocess.Popen[str], condition: Callable[[], bool], seconds: float = 60.0
) -> bool:
    """Poll every millisecond; False when the process ends first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.001)  # tests beside this one need the core
    raise AssertionError("the process neither ended nor got there")


def count_rows(run_dir: Path) -> int:
    path = run_dir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
