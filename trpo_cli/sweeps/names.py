"""The runs of a sweep under names that say what they are: folders that TensorBoard shows."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from trpo_cli.sweeps.index import Job
from trpo_cli.terminal.display import run_name

LINKS = "tensorboard"
TOLD = ("algo", "env", "sampler", "seed")
"""Keys that every name has."""


def link_runs(sweep_dir: Path, jobs: Sequence[Job], configs: Sequence[object]) -> None:
    """Make `sweep_dir`/tensorboard with a link to each run. Training is worth more than links: a
    file system that has none gets none.

    configs: those of the jobs.
    """
    names = [_name(job, config) for job, config in zip(jobs, configs, strict=True)]
    several = {name for name, n in Counter(names).items() if n > 1}
    with contextlib.suppress(OSError):
        (sweep_dir / LINKS).mkdir()
        for job, name in zip(jobs, names, strict=True):
            _link(sweep_dir, job, f"{name}_{job.number}" if name in several else name)


def link_one(sweep_dir: Path, job: Job, config: object) -> None:
    """The same for a run that a sweep makes beyond those that it began with."""
    with contextlib.suppress(OSError):
        _link(sweep_dir, job, _name(job, config))


def _link(sweep_dir: Path, job: Job, name: str) -> None:
    (sweep_dir / LINKS / name).symlink_to(os.path.join("..", job.folder))


def logdir(sweep_dir: Path) -> Path:
    """What TensorBoard is to look at."""
    links = sweep_dir / LINKS
    return links if links.is_dir() else sweep_dir


def _name(job: Job, config: object) -> str:
    """ppo_CartPole-v1_s0, and other settings by which the jobs differ."""
    more = []
    for text in job.differs:
        key, _, value = text.lstrip("+").partition("=")
        if key not in TOLD:
            more.append(f"{key.rpartition('.')[2]}={value}")
    return re.sub(r"[^\w.=+-]+", "_", "_".join([run_name(config), *more]))[:120]
