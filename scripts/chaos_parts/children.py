"""Commands in forked processes: start, wait, kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 900.0
"""Seconds that a process may take, on a machine that has much else to do."""


class Failure(Exception):
    """Something that must not happen."""


def start(command: Callable[[list[str]], int], words: Sequence[str], folder: Path) -> int:
    """A command in a forked process; what it prints goes to `said` in the folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(FileNotFoundError):
        (folder / "said").unlink()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.chdir(folder)
        out = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in (1, 2):
            os.dup2(out, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = command(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(99)


_codes: dict[int, int] = {}


def ended(child: int) -> int | None:
    """The exit status of a child, None while it goes on."""
    if child not in _codes:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            _codes[child] = os.waitstatus_to_exitcode(status)
    return _codes.get(child)


def wait(child: int) -> int:
    limit = time.monotonic() + PATIENCE
    while (code := ended(child)) is None:
        if time.monotonic() > limit:
            kill(child)
            raise Failure(f"a process did not end within {PATIENCE:.0f} s")
        time.sleep(0.001)
    return code


def finish(child: int, code: int) -> None:
    wait(child)
    check_status(child, code)


def check_status(child: int, code: int) -> None:
    if _codes[child] != code:
        raise Failure(f"exit status {_codes[child]} instead of {code}")


def kill(child: int, others: Sequence[int] = ()) -> int:
    """SIGKILL; returns 1, or 0 when the process had ended before. others: processes of its own,
    which go with it."""
    if ended(child) is not None:
        return 0
    for process in (child, *others):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    while ended(child) is None:
        time.sleep(0.0005)
    return int(_codes[child] == -signal.SIGKILL)


def children_of(process: int) -> list[int]:
    """The processes that one has started and that go on."""
    with contextlib.suppress(OSError):
        return [
            int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
        ]
    return []


def answer(out: str) -> Any:
    """What trpo-eval --json printed, among warnings."""
    (line,) = (line for line in out.splitlines() if line.startswith("{"))
    return json.loads(line)


def said(folder: Path) -> str:
    return (folder / "said").read_text(errors="replace")
