"""The trackers of a run, seen from the run: processes that follow its files."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.directory import open_own, refuse_links
from trpo_cli.trackers.base import BUILT_IN
from trpo_cli.trackers.told import FOLDER, PATIENCE, file_of, read_told

CHECK_SECONDS = 1.0
HURRY = 10
"""Seconds for a tracker to finish after a run that did not end by itself: a signal asked for it,
and whoever sent that may not wait long."""


class Trackers:
    """Starts a process for each tracker, and warns once of each that fails."""

    def __init__(self, names: Sequence[str], run_dir: Path, say: Callable[[str], None]) -> None:
        """Manifest and configuration are there already. say: prints a line that stays."""
        self._run_dir, self._say = run_dir, say
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._unseen = set(names)
        self._checked = time.monotonic()
        for name in names:
            try:
                self._processes[name] = self._start(name)
            except (OSError, UserError) as error:
                self._warn(name, str(error))

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        log = file_of(self._run_dir, name, ".log")
        refuse_links(self._run_dir, [FOLDER, *BUILT_IN])
        log.parent.mkdir(exist_ok=True)
        refuse_links(log.parent, [log.name, file_of(self._run_dir, name).name])
        paths = os.pathsep.join(path for path in sys.path if path)
        with open(open_own(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "trpo_cli.trackers.follow", name, str(self._run_dir)],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # it outlives Ctrl-C, to tell how the run ended
            )

    def check(self) -> None:
        """Now and then: warn of those that have failed, and say where the others show the run."""
        if not self._processes or time.monotonic() - self._checked < CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        for name, process in list(self._processes.items()):
            self._look(name)
            if process.poll() is not None:
                self._over(name)

    def close(self, hurry: bool = False) -> None:
        """Let them finish: the manifest says how the run ended. One that takes too long is
        killed."""
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        until = time.monotonic() + (HURRY if hurry else PATIENCE)
        for name, process in list(self._processes.items()):
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(max(0.0, until - time.monotonic()))
            self._look(name)
            self._over(name)

    def _look(self, name: str) -> None:
        where = self._told(name).get("where")
        if where and name in self._unseen:
            self._unseen.discard(name)
            self._say(f"{name}: {where}")

    def _over(self, name: str) -> None:
        process = self._processes.pop(name)
        if process.poll() is None:
            process.kill()
            process.wait()
            self._warn(name, "it did not finish in time")
        elif process.returncode:
            why = self._told(name).get("error")
            self._warn(name, why or f"see {file_of(self._run_dir, name, '.log')}")

    def _told(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(UserError):  # it has not come that far
            return read_told(self._run_dir, name)
        return {}

    def _warn(self, name: str, why: str) -> None:
        print(
            f"warning: logger={name} was ended ({why.rstrip('.')}). The run's own files are "
            "complete; resume= would tell the tracker what it has missed.",
            file=sys.stderr,
        )
