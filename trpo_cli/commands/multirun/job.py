"""``python -m trpo_cli.commands.multirun.job``: the runs of a sweep or a search, one after another."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trpo_cli.commands.failures import report, words
from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.launch import launch
from trpo_cli.commands.resume import resume, resumed_config
from trpo_cli.commands.run import limit_library_threads
from trpo_cli.config import Config
from trpo_cli.runs.lock import wait_until_free
from trpo_cli.sweeps.index import clear_remains
from trpo_cli.sweeps.serve import serve

LOCK_SECONDS = 60.0
"""How long a run waits for the process that had it: one that lost its parent is still ending."""


def run(message: dict[str, Any]) -> tuple[int, str]:
    """Make the run that a message describes (see `serve`); its failure is told in its log."""
    folder, overrides = Path(message["folder"]), message["overrides"]
    config_dir, debug = message["config_dir"], "debug=true" in overrides
    command = ["trpo-run", *(["-cd", config_dir] if config_dir else []), *overrides]
    try:
        if message["resume"]:
            config = resumed_config(folder, overrides, config_dir)
            debug = config.debug
            go_on(config, folder, ["trpo-run", f"resume={folder}", *overrides])
        else:
            config, _ = compose(start_hydra(config_dir), overrides)
            begin(with_threads(config, message["threads"]), folder, command)
    except Exception as error:
        return report(error, debug=debug), words(error)
    return 0, ""


def begin(config: Config, folder: Path, command: Sequence[str]) -> None:
    """Make a run in a folder that is new, empty or left by a run that never began."""
    if folder.is_dir():
        wait_until_free(folder, LOCK_SECONDS)
        clear_remains(folder)
    launch(config, os.path.relpath(folder), list(command))


def go_on(config: Config, folder: Path, command: Sequence[str]) -> None:
    """Go on with a run that has begun."""
    wait_until_free(folder, LOCK_SECONDS)
    resume(os.path.relpath(folder), config, list(command))


def with_threads(config: Config, threads: int | None) -> Config:
    """The configuration with its share of the cores, unless it names a number. It is recorded
    with the run, which has as many wherever it goes on: sums are taken in the same order then."""
    if threads is None or config.threads is not None:
        return config
    return dataclasses.replace(config, threads=threads)


if __name__ == "__main__":
    limit_library_threads()
    serve(run)
