"""``python -m trpo_cli.commands.multirun.job``: one run of a sweep or a search, for a `Pool`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trpo_cli.commands.failures import begin_process, guarded
from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.launch import launch
from trpo_cli.commands.resume import resume, resumed_config
from trpo_cli.config import Config
from trpo_cli.runs.lock import wait_until_free
from trpo_cli.sweeps.lifeline import end_with_parent

NAME = "trpo-run"
LOCK_SECONDS = 60.0
"""How long a run waits for the process that had it: one that lost its parent is still ending."""


def run(what: dict[str, Any]) -> int:
    """Make the run that a pool describes (see `Process`) and return its exit status."""
    folder, overrides, config_dir = Path(what["folder"]), what["overrides"], what["config_dir"]
    if what["resume"]:
        config = resumed_config(folder, overrides, config_dir, trusted=what["trusted"])
        command = [NAME, f"resume={folder}", *overrides]
        return guarded(NAME, lambda: go_on(config, folder, command), debug=config.debug)
    config, _ = compose(start_hydra(config_dir), overrides, recorded=True)
    config = with_threads(config, what["threads"])
    command = [NAME, *(["-cd", config_dir] if config_dir else []), *overrides]
    return guarded(NAME, lambda: begin(config, folder, command), debug=config.debug)


def begin(config: Config, folder: Path, command: Sequence[str]) -> None:
    """Make a run in a folder that is new, empty or left by a run that never began."""
    if folder.is_dir():
        wait_until_free(folder, LOCK_SECONDS)
    launch(config, os.path.relpath(folder), list(command))


def go_on(config: Config, folder: Path, command: Sequence[str]) -> None:
    """Go on with a run that has begun."""
    wait_until_free(folder, LOCK_SECONDS)
    resume(os.path.relpath(folder), config, list(command))


def with_threads(config: Config, threads: int | None) -> Config:
    """The configuration with so many threads, unless it names a number. They are recorded with the
    run, which has as many wherever it goes on: sums are taken in the same order then."""
    if threads is None or config.threads is not None:
        return config
    return dataclasses.replace(config, threads=threads)


def main() -> int:
    begin_process()
    end_with_parent()
    what = json.loads(sys.argv[1])

    return guarded(NAME, lambda: run(what), debug="debug=true" in what["overrides"])


if __name__ == "__main__":
    sys.exit(main())
