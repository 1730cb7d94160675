"""Sweeps on a real Slurm: two nodes on this machine, whose daemons these tests start and stop."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import slurm
from tests.support.running import (
    BATCH,
    REPOSITORY,
    check_same,
    count_rows,
    finish,
    settings,
    start,
    status,
)
from tests.sweeps.test_sweep import reference

LACKING = slurm.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"needs the packages {LACKING}"),
    pytest.mark.skipif(
        importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None,
        reason="needs the package hydra-submitit-launcher",
    ),
]
TOTAL = 150 * BATCH
"""Steps of a run that something happens to: it takes some seconds."""


@pytest.fixture(scope="module")
def started() -> Iterator[slurm.Cluster]:
    with slurm.cluster() as found:
        yield found


@pytest.fixture
def cluster(started: slurm.Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[slurm.Cluster]:
    monkeypatch.setenv("SLURM_CONF", str(started.config))
    yield started
    started.clear()


def sweep(seeds: str, *words: str, total: int = TOTAL) -> list[str]:
    """Runs on CartPole in the folder s; each takes a whole node."""
    kept = [
        text
        for text in settings("trpo", "CartPole-v1", total_steps=total)
        if not text.startswith(("seed=", "threads=", "eval.", "checkpoint."))
    ]
    kept += [f"eval.every={TOTAL}", "eval.episodes=1", f"checkpoint.every={TOTAL}"]
    slurms = ["hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=2"]
    return ["-m", f"seed={seeds}", *kept, *slurms, "hydra.sweep.dir=s", *words]


def resumed_at(run: Path) -> list[int]:
    """The steps at which a run went on."""
    manifest = json.loads((run / "manifest.json").read_text())
    return [one["step"] for one in manifest.get("resumed", [])]


def test_a_sweep_is_one_array_after_the_other(tmp_path: Path, cluster: slurm.Cluster) -> None:
    """Each as large as was asked for, and with as many threads as Slurm gives cores."""
    words = sweep("1,2,3", "hydra.sweeper.max_batch_size=2", total=4 * BATCH)
    code, out, err = finish(start(*words, cwd=tmp_path), 240)
    assert (code, err) == (0, ""), out
    scripts = [p.read_text() for p in sorted((tmp_path / "s/.submitit").glob("*/*.sh"))]
    assert ["--array=0-1%2" in script for script in scripts] == [True, False]
    for number in range(3):
        run = tmp_path / "s" / str(number)
        assert "threads: 2" in (run / "config.yaml").read_text()
        check_same(run, reference(tmp_path / f"reference{number}", run))


def test_more_jobs_than_an_array_may_have(tmp_path: Path, cluster: slurm.Cluster) -> None:
    words = sweep("1,2,3,4,5", total=BATCH)
    code, _, err = finish(start(*words, cwd=tmp_path))
    assert code == 2 and "hydra.sweeper.max_batch_size=4" in err
    assert list(tmp_path.iterdir()) == [] and not cluster.queue()


@pytest.mark.parametrize("partition", ["grace", "sudden"])
def test_a_preempted_job_goes_on(tmp_path: Path, cluster: slurm.Cluster, partition: str) -> None:
    """Slurm gives it a minute, and drops a job that ends in it; or kills it and puts it back."""
    process = start(*sweep("1", f"hydra.launcher.partition={partition}"), cwd=tmp_path)
    run = tmp_path / "s" / "0"
    assert slurm.until(lambda: count_rows(run) >= 3)
    urgent = [cluster.submit("urgent", "sleep 4", tmp_path) for _ in range(2)]
    assert slurm.until(lambda: status(run) == ("interrupted", "SIGTERM"))
    assert slurm.until(lambda: not set(urgent) & set(cluster.queue()))
    assert slurm.until(lambda: cluster.states() == ["PENDING"])
    assert process.poll() is None
    cluster.hurry()
    code, out, err = finish(process, 120)
    assert (code, err) == (0, ""), out
    (step,) = resumed_at(run)
    assert 0 < step < TOTAL
    check_same(run, reference(tmp_path / "reference", run))


def test_a_cancelled_job_is_told_and_resumed(tmp_path: Path, cluster: slurm.Cluster) -> None:
    process = start(*sweep("1,2"), cwd=tmp_path)
    first, second = tmp_path / "s" / "0", tmp_path / "s" / "1"
    assert slurm.until(lambda: count_rows(first) >= 3)
    (job,) = [name for name in cluster.queue() if name.endswith("_0")]
    cluster.ask("scancel", job)
    code, _, err = finish(process, 120)
    assert code == 3 and f"job {job} left no result (CANCELLED)" in err and "resume=s" in err
    assert "Traceback" not in err
    assert status(first) == ("interrupted", "SIGTERM")
    assert slurm.until(lambda: not cluster.queue())
    code, out, err = finish(start("resume=s", cwd=tmp_path), 120)
    assert (code, err) == (0, ""), out
    assert 0 < resumed_at(first)[0] < TOTAL and resumed_at(second) == []
    for run in (first, second):
        check_same(run, reference(tmp_path / f"reference{run.name}", run))


def test_a_drained_node_gets_no_job(tmp_path: Path, cluster: slurm.Cluster) -> None:
    """What runs there ends in peace; what waits goes to the other node, once it is back."""
    process = start(*sweep("1"), cwd=tmp_path)
    run = tmp_path / "s" / "0"
    assert slurm.until(lambda: count_rows(run) >= 3)
    cluster.set_nodes("n1,n2", "drain")
    waiting = cluster.submit("grace", "hostname", tmp_path)
    code, out, err = finish(process, 120)
    assert (code, err) == (0, ""), out
    assert status(run) == ("finished", None) and resumed_at(run) == []
    assert cluster.queue()[waiting][0] == "PENDING"
    cluster.set_nodes("n2", "resume")
    assert slurm.until(lambda: waiting not in cluster.queue())
    assert "NodeList=n2" in cluster.ask("scontrol", "show", "job", waiting)


def test_torchrun_in_a_job(tmp_path: Path, cluster: slurm.Cluster) -> None:
    words = settings("trpo", "CartPole-v1", total_steps=4 * BATCH)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node=2", "-m", "trpo_cli", *words, "hydra.run.dir=r"]
    command = f"cd {tmp_path} && PYTHONPATH={REPOSITORY} {shlex.join(launcher)}"
    job = cluster.submit("grace", command, tmp_path)
    assert slurm.until(lambda: job not in cluster.queue(), 120)
    run = tmp_path / "r"
    assert status(run) == ("finished", None), (tmp_path / f"{job}.txt").read_text()
    assert count_rows(run) == 4
    assert json.loads((run / "manifest.json").read_text())["processes"] == 2
