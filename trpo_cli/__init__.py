"""Policy-gradient training from the command line.

In Python, of finished and running runs: `load` gives the policy, `read` the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trpo_cli.version import __version__

if TYPE_CHECKING:
    import numpy as np

    from trpo_cli.api import TrainedPolicy

__all__ = ["__version__", "load", "read"]


def load(run: str | Path, checkpoint: str = "last", *, trust: bool = False) -> TrainedPolicy:
    """The policy of a run, to act with.

    run: its directory; "last" is the newest below outputs/. checkpoint: "last", "best" or
    "step_<n>". trust: whether the directory, of somebody else's, may have modules imported that no
    run of yours has named.

    Raises `trpo_cli.errors.UserError` for what is no run, or a damaged or other kind of one.
    """
    from trpo_cli.api import load_policy  # torch and the environment only now

    return load_policy(run, checkpoint, trust)


def read(run: str | Path, rows: str = "metrics") -> dict[str, np.ndarray]:
    """The rows of a run, an array (rows,) for each key, which pandas takes as a table.

    run: its directory; "last" is the newest below outputs/. rows: "metrics", one for each
    iteration, or "eval", one for each evaluation.
    Numbers are float64, NaN where there is none; whole numbers int64; a column with anything else
    in it (words, lists of returns) holds Python objects.

    Raises `trpo_cli.errors.UserError` for what is no run, and for rows that were changed.
    """
    from trpo_cli.api import read_rows

    return read_rows(run, rows)
