"""How many threads a run gets under Hydra's launchers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trpo_cli.commands.multirun import plugins, slurm
from trpo_cli.commands.multirun.plugins import given_by_slurm, threads_per_run
from trpo_cli.errors import UserError


def launcher(kind: str, **settings: Any) -> Any:
    return type(kind, (SimpleNamespace,), {})(**settings)


@pytest.mark.parametrize(
    ("n_jobs", "jobs", "threads"),
    [(-1, 100, 1), (-1, 2, 4), (-2, 100, 1), (2, 100, 4), (3, 100, 2), (1, 5, 8), (None, 5, 8)],
)
def test_joblib(
    monkeypatch: pytest.MonkeyPatch, n_jobs: int | None, jobs: int, threads: int
) -> None:
    """n_jobs counts from the number of cores down when it is negative, -1 being all of them."""
    monkeypatch.setattr(plugins, "usable_cores", lambda: 8)
    assert threads_per_run(launcher("JoblibLauncher", joblib={"n_jobs": n_jobs}), jobs) == threads


def test_submitit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All jobs at once on this machine; on a cluster each job's machine decides."""
    monkeypatch.setattr(plugins, "usable_cores", lambda: 8)
    assert threads_per_run(launcher("LocalLauncher"), 3) == 2
    assert threads_per_run(launcher("LocalLauncher"), 30) == 1
    assert threads_per_run(launcher("SlurmLauncher"), 3) is None
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert given_by_slurm() is None
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert given_by_slurm() == 4


@pytest.mark.parametrize(
    ("state", "time", "preempted"),
    [
        ("RUNNING", "2026-11-26T19:00:47", True),
        ("RUNNING", "None", False),  # SIGTERM by somebody
        ("CANCELLED", "None", False),
        ("CANCELLED", "2026-11-26T19:00:47", False),  # preempted, then cancelled
        ("PENDING", "2026-11-26T19:00:47", False),  # Slurm has put it back already
    ],
)
def test_slurm_says_why_a_job_gets_sigterm(
    monkeypatch: pytest.MonkeyPatch, state: str, time: str, preempted: bool
) -> None:
    told = f"JobId=6 JobState={state} Reason=None PreemptEligibleTime=x PreemptTime={time} A=b"
    monkeypatch.setattr(slurm, "_answer", lambda command: told)
    monkeypatch.setenv("SLURM_JOB_ID", "6")
    assert slurm.is_preempted() is preempted
    monkeypatch.delenv("SLURM_JOB_ID")
    assert not slurm.is_preempted()


def test_an_array_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "_answer", lambda command: "MailProg = x\nMaxArraySize   = 20\n")
    slurm.check_array(20, None)
    slurm.check_array(100, 20)
    for jobs, at_once in ((21, None), (100, 21)):
        with pytest.raises(UserError, match=r"array of 21 .* hydra\.sweeper\.max_batch_size=20"):
            slurm.check_array(jobs, at_once)
    monkeypatch.setattr(slurm, "_answer", lambda command: None)
    slurm.check_array(10**6, None)  # sbatch will say


def test_states_of_squeue() -> None:
    told = slurm.states("JOBID|STATE|NODELIST\n7|COMPLETED|n1\n5_1|PENDING|\n")
    assert {job: (row["State"], row["NodeList"]) for job, row in told.items()} == {
        "7": ("COMPLETED", "n1"),
        "5_1": ("PENDING", ""),
    }
