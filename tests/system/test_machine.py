"""What the machine says of itself, read from files as the kernel writes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from trpo_cli.system import machine

MEMINFO = "MemTotal:       900 kB\nMemFree:          8 kB\nMemAvailable:    64 kB\n"


@pytest.mark.parametrize(
    ("meminfo", "limit", "expected"),
    [
        (MEMINFO, None, 64 * 1024),
        (MEMINFO, "max\n", 64 * 1024),
        (MEMINFO, "50000\n", 30_000),  # of which the control group has taken 20,000
        (MEMINFO, "99999999\n", 64 * 1024),
        (None, "50000\n", 30_000),
        ("MemTotal: 900 kB\n", None, None),
        (None, None, None),
    ],
)
def test_available_memory_is_what_machine_and_control_group_both_have(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    meminfo: str | None,
    limit: str | None,
    expected: int | None,
) -> None:
    def opened(path: str, **_: Any) -> io.StringIO:
        if meminfo is None:
            raise FileNotFoundError(path)
        return io.StringIO(meminfo)

    monkeypatch.setattr(machine, "open", opened, raising=False)
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path)
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.stat").write_text("anon 20000\nfile 70000\n")
    assert machine.available_memory() == expected
