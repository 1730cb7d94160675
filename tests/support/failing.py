"""A run that is expected to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.running import status
from trpo_cli.errors import RunFailed
from trpo_cli.training.loop import train


def fail(config: Any, folder: Path, resume: bool = False) -> str:
    """Train, and return the one paragraph that says why it failed."""
    with pytest.raises(RunFailed) as caught:
        train(config, folder, ["trpo-run"], resume=resume)
    message = str(caught.value)
    assert "\n" not in message and status(folder)[0] == "failed"
    return message
