"""The rows of a run, for whoever reads them: all of them as they were written, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs import manifest
from trpo_cli.runs.chain import FILES, check_run


def read_whole(run_dir: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of a run, and by name what its files of rows hold.

    Raises `UserError` when rows were changed, lost or added, and OSError. The run may go on
    meanwhile.
    """
    wrong = ""
    for _ in range(2):  # it may have been resumed between the two
        content = manifest.read(run_dir)
        files = {f: (run_dir / f).read_bytes() for f in FILES if (run_dir / f).is_file()}
        wrong = check_run(content, files)
        if not wrong:
            return content, files
    raise UserError(f"{wrong}.")


def what_is_wrong(run_dir: Path) -> str:
    """Why the rows of a run cannot be trusted, as a sentence; empty when they can."""
    try:
        read_whole(run_dir)
    except (UserError, OSError) as error:
        return str(error)
    return ""
