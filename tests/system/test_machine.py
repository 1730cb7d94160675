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


@pytest.mark.parametrize(
    ("line", "below", "limit", "used"),
    [
        ("0::/user/job", "user", "memory.max", "anon"),
        ("7:cpu,memory:/user/job", "memory/user", "memory.limit_in_bytes", "total_rss"),
    ],
)
def test_control_groups_of_both_versions(tmp_path, line, below, limit, used):
    """The group above the process's own may be the one that has least left."""
    above = tmp_path / "groups" / below
    for folder, most in ((above, 1000), (above / "job", 5000)):
        folder.mkdir(parents=True)
        (folder / limit).write_text(f"{most}\n")
        (folder / "memory.stat").write_text(f"file 77\n{used} 300\n")
    (tmp_path / "listing").write_text(f"3:pids:/other\n{line}\n")
    found = machine._left_in_groups(tmp_path / "groups", tmp_path / "listing")
    assert sorted(found) == [700, 4700]


def test_a_limit_of_the_shell_counts(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (2**34, 2**34))
    left = machine.available_memory()
    assert left is not None and left < 2**34
