from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.cli_stub import Cli

# A shell starts background jobs with Ctrl-C ignored, and runs keep it that way. The tests that
# send it, from here or to a process of their own, must not depend on how they were started.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """`trpo-run` in an empty folder, training replaced by a stand-in, torch out of reach."""
    return Cli(monkeypatch, capsys, tmp_path)
