"""What Slurm says of its jobs: whether one is being preempted, and which of them have ended."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from trpo_cli.errors import UserError

SECONDS = 60
"""How long a command of Slurm's may take to answer."""
GONE = "GONE"
"""The state of a job that Slurm has forgotten: it ended a while ago."""


def is_preempted() -> bool:
    """Whether Slurm is about to take this job's machine away for another job. It has not put the
    job back into the queue then: that is done to a job whose time of grace is over."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    text = _answer(["scontrol", "show", "job", "--oneliner", job]) or ""
    told = dict(re.findall(r"(\w+)=(\S*)", text))
    return told.get("JobState") == "RUNNING" and told.get("PreemptTime", "None") != "None"


def has_accounting() -> bool:
    """Whether sacct, which submitit asks, can say how a job ended."""
    return _answer(["sacct", "--noheader", "--format=JobID", "--jobs=1"]) is not None


def watch_queue() -> None:
    """Let submitit ask squeue how its jobs are. Without accounting it would wait for ever for one
    that was cancelled or killed, as that leaves no result."""
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    class QueueWatcher(SlurmInfoWatcher):
        """States by squeue, which knows the jobs of the last minutes."""

        def _make_command(self) -> list[str] | None:
            if self._registered <= self._finished:
                return None
            return ["squeue", "--me", "--array", "--states=all", "--format=%i|%T|%N"]

        def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
            told = states(string if isinstance(string, str) else string.decode())
            return {job: told.get(job, {"State": GONE}) for job in self._registered}

    SlurmJob.watcher = QueueWatcher(delay_s=60)


def states(text: str) -> dict[str, dict[str, str]]:
    """The answer of squeue as submitit knows that of sacct: by job, its State and NodeList."""
    rows = [line.strip().split("|") for line in text.splitlines()[1:]]
    return {job: {"JobID": job, "State": state, "NodeList": at} for job, state, at in rows}


def check_array(jobs: int, at_once: int | None) -> None:
    """Raise `UserError` for more jobs than an array of this cluster may have.

    at_once: hydra.sweeper.max_batch_size, the jobs of one array.
    """
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _answer(["scontrol", "show", "config"]) or "")
    size = min(jobs, at_once or jobs)
    if found and size > int(found[1]):
        raise UserError(
            f"a job array of {size} runs is larger than this cluster's MaxArraySize={found[1]}. "
            f"Give hydra.sweeper.max_batch_size={found[1]}: one array after the other."
        )


def why_lost(error: Exception, sweep_dir: object) -> str:
    """What to say when submitit finds that a job of a sweep is over and left no result; empty for
    other errors."""
    text = " ".join(str(error).split())
    found = re.search(r"Job (\S+) .*has not produced any output \(state: ([^)]*)\)", text)
    if found is None:
        return ""
    return (
        f"job {found[1]} left no result ({found[2]}): it was cancelled, or ended from outside. "
        "The other jobs go on; squeue lists them. When they are over, trpo-run "
        f"resume={sweep_dir} goes on with what is left."
    )


def _answer(command: Sequence[str]) -> str | None:
    """What a command of Slurm's prints; None when it fails or is not there."""
    try:
        done: Any = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return str(done.stdout)
