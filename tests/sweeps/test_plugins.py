"""How many threads a run gets under Hydra's launchers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trpo_cli.commands.multirun import plugins
from trpo_cli.commands.multirun.plugins import given_by_slurm, threads_per_run


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
