"""What a run directory holds, for whoever goes on from its policy without going on with the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trpo_cli.runs.checkpoint import find
from trpo_cli.runs.directory import CONFIG, require
from trpo_cli.runs.manifest import check_config, read
from trpo_cli.runs.whole import what_is_wrong

if TYPE_CHECKING:
    from trpo_cli.config import Config


def open_run(run_dir: Path, checkpoint: str, trusted: bool) -> tuple[Config, Path]:
    """A run's configuration, and the folder of one of its checkpoints: last, best or step_<n>.

    trusted: whether it may name modules that no run of this user's has named.

    Raises `UserError` for what is no run, was changed or names such modules. Rows that were changed
    get a warning: the policy is checked by itself, and as good as it was.
    """
    from trpo_cli.config import read_config

    config = read_config(require(run_dir) / CONFIG, trusted)
    check_config(run_dir, read(run_dir))
    if wrong := what_is_wrong(run_dir):
        print(f"warning: {run_dir}: {wrong}", file=sys.stderr)
    return config, find(run_dir, checkpoint)
