"""Whole sweeps as processes of their own: failures, kills, signals, continuing, other launchers."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.running import (
    BATCH,
    check_same,
    count_rows,
    finish,
    lines,
    result,
    start,
    status,
)
from trpo_cli.config import config_from_yaml
from trpo_cli.training.loop import train

LONG = {"total_steps": 10**7, "eval.every": 0}


def command(*words: str, **changes: Any) -> list[str]:
    """A sweep in the folder s, of short runs on CartPole; words come before the seed is chosen."""
    settings = running.settings("trpo", "CartPole-v1", **changes)
    given = {word.partition("=")[0] for word in words}
    kept = [s for s in settings if s.partition("=")[0] not in given]
    return ["-m", *words, *kept, "hydra.sweep.dir=s"]


def reference(folder: Path, like: Path) -> dict[str, Any]:
    """What a run with the configuration in a run directory gives when nothing disturbs it."""
    folder.mkdir()
    config = config_from_yaml((like / "config.yaml").read_text())
    train(config, folder, ["trpo-run"])
    return result(folder)


def complaints(err: str) -> list[str]:
    """Standard error, but for the warning that this machine has one core for two runs."""
    return [line for line in err.splitlines() if not line.startswith("warning: 2 at a time")]


def wait_for_rows(process: Any, *wanted: tuple[Path, int]) -> None:
    assert running.wait_until(
        process, lambda: all(count_rows(folder) >= rows for folder, rows in wanted)
    )


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    """And everything is where it belongs."""
    words = ["env=tests.support.faulty_envs:Faulty/Faulty-v0", "+env.kwargs.kind=raise"]
    words += ["+env.kwargs.at=50,0", "seed=1,2", "hydra.sweep.subdir=${env.kwargs.at}/${seed}"]
    code, out, err = finish(start(*command(*words, total_steps=2 * BATCH), cwd=tmp_path))
    assert code == 3
    assert complaints(err)[0] == "trpo-run: 2 of 4 runs failed."
    assert "run 1 (+env.kwargs.at=50 seed=2): " in err and "out of batteries" in err
    assert "Traceback" not in err
    assert out.count(" finished: ") == 2 and out.count(" failed: ") == 2
    assert "go on:     trpo-run resume=s\n" in out and "tensorboard --logdir s/tensorboard\n" in out
    sweep = tmp_path / "s"
    index = json.loads((sweep / "sweep.json").read_text())
    assert [job["folder"] for job in index["jobs"]] == ["50/1", "50/2", "0/1", "0/2"]
    assert index["jobs"][2]["differs"] == ["+env.kwargs.at=0", "seed=1"]
    assert status(sweep / "50" / "1")[0] == "failed" and status(sweep / "0" / "2")[0] == "finished"
    assert "trpo on" in (sweep / "0" / "2.log").read_text()
    found = {link.name: link.resolve() for link in (sweep / "tensorboard").iterdir()}
    task = "trpo_tests.support.faulty_envs_Faulty_Faulty-v0"
    assert found[f"{task}_s2_at=50"] == sweep / "50" / "2" and len(found) == 4
    manifest = json.loads((sweep / "0" / "1" / "manifest.json").read_text())
    assert manifest["command"].startswith("trpo-run ") and "seed=1" in manifest["command"]


@pytest.mark.slow
def test_killed_and_continued(tmp_path: Path) -> None:
    """Every run gives the numbers of one that nobody disturbed."""
    process = start(*command("algo=trpo,vpg", "seed=1,2", "hydra.launcher.jobs=2"), cwd=tmp_path)
    wait_for_rows(process, (tmp_path / "s" / "1", 3), (tmp_path / "s" / "0", 3))
    process.kill()
    finish(process)
    # At once: the workers may still be writing their last checkpoints.
    code, out, err = finish(start("resume=s", cwd=tmp_path))
    assert (code, complaints(err)) == (0, []), out
    for number in range(4):
        folder = tmp_path / "s" / str(number)
        check_same(folder, reference(tmp_path / f"reference{number}", folder))
    code, _, err = finish(start("resume=s", cwd=tmp_path))
    assert code == 2 and "all its 4 runs are" in err


@pytest.mark.slow
def test_a_signal_stops_all_and_the_seeds_stay(tmp_path: Path) -> None:
    words = ["seed=null,1", "hydra.launcher.jobs=1"]
    process = start(*command(*words, **LONG), cwd=tmp_path)
    first, second = tmp_path / "s" / "0", tmp_path / "s" / "1"
    wait_for_rows(process, (first, 2))
    refused, _, err = finish(start("resume=s", cwd=tmp_path))
    assert refused == 2 and "The sweep in s is still going" in err
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 143 and "interrupted by SIGTERM" in err and "trpo-run resume=s\n" in out
    assert status(first) == ("interrupted", "SIGTERM") and not second.exists()
    seed = config_from_yaml((first / "config.yaml").read_text()).seed
    total = (count_rows(first) + 1) * BATCH
    code, out, err = finish(start("resume=s", f"total_steps={total}", cwd=tmp_path))
    assert (code, err) == (0, ""), out
    assert config_from_yaml((first / "config.yaml").read_text()).seed == seed
    for number, folder in enumerate((first, second)):
        expected = reference(tmp_path / f"reference{number}", folder)
        assert result(folder)["metrics"] == expected["metrics"]
        assert lines(folder / "metrics.jsonl")[-1]["step"] == total


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait_for_the_iteration(tmp_path: Path) -> None:
    changes = {**LONG, "sampler.steps_per_env": 10**6}
    process = start(*command("seed=1", **changes), cwd=tmp_path)
    assert running.wait_until(process, lambda: (tmp_path / "s/0/metrics.jsonl").exists())
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _, _ = finish(process, seconds=20)
    assert code == 130 and status(tmp_path / "s" / "0") == ("interrupted", "SIGINT")


@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None, reason="not installed"
)
@pytest.mark.slow
def test_joblib(tmp_path: Path) -> None:
    words = ["seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    code, _, err = finish(start(*command(*words), cwd=tmp_path))
    assert (code, err) == (0, "")
    for number in range(2):
        folder = tmp_path / "s" / str(number)
        check_same(folder, reference(tmp_path / f"reference{number}", folder))


@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None,
    reason="not installed",
)
@pytest.mark.slow
def test_submitit_brings_a_preempted_run_back(tmp_path: Path) -> None:
    total = 40 * BATCH
    words = ["seed=1", "hydra/launcher=submitit_local"]
    process = start(*command(*words, total_steps=total), cwd=tmp_path)
    run = tmp_path / "s" / "0"
    wait_for_rows(process, (run, 3))
    holder = int((run / ".lock").read_text().split()[1])
    os.kill(holder, signal.SIGUSR2)
    code, out, err = finish(process)
    assert (code, err) == (0, ""), out
    manifest = json.loads((run / "manifest.json").read_text())
    assert 0 < manifest["resumed"][0]["step"] < total
    check_same(run, reference(tmp_path / "reference", run))
    assert not (tmp_path / "auto").exists()
