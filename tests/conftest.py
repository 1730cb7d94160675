from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli_stub import Cli


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """`trpo-run` in an empty folder, training replaced by a stand-in, torch out of reach."""
    return Cli(monkeypatch, capsys, tmp_path)
