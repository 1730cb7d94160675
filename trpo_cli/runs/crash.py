"""What a failed run leaves for whoever looks for the reason: the batch, the facts, the settings.

Nothing is pickled: tensors and JSON, as in a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trpo_cli.errors import CannotWrite, LostProcess, RunFailed, describe
from trpo_cli.runs.checkpoint import to_bytes
from trpo_cli.runs.directory import CONFIG

BATCH, FACTS, TRACEBACK = "batch.safetensors", "fault.json", "traceback.txt"


def write_crash(
    run_dir: Path, error: BaseException, facts: Mapping[str, Any], config: str
) -> Path | None:
    """Write what is known about an error; an earlier crash at the same step is replaced.

    facts: of the run: step, iteration, checkpoint. config: the text of its configuration.
    Returns the folder, crash_<step>; None when it cannot be written or nothing could be learned
    from it.
    """
    if isinstance(error, (CannotWrite, LostProcess)):
        return None
    folder = run_dir / f"crash_{int(facts['step'])}"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        own = error.facts if isinstance(error, RunFailed) else {}
        content = {"message": describe(error), **facts, **own}
        (folder / FACTS).write_text(json.dumps(content, indent=2) + "\n")
        (folder / CONFIG).write_text(config)
        (folder / TRACEBACK).write_text("".join(traceback.format_exception(error)))
        if isinstance(error, RunFailed) and error.arrays:
            (folder / BATCH).write_bytes(to_bytes(error.arrays))
        return folder
    except Exception:  # the failure itself is what has to be told
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        return None
