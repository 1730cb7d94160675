"""``trpo-run --watch DIR``: how far a run or a sweep is, seen from another terminal."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs import manifest
from trpo_cli.runs.directory import CONFIG, EVAL, LOCK, METRICS, require
from trpo_cli.runs.lock import is_held
from trpo_cli.sweeps import index
from trpo_cli.sweeps.last import run_or_sweep
from trpo_cli.sweeps.look import has_begun, last_rows
from trpo_cli.sweeps.overview import FAILED, FINISHED, INTERRUPTED, RUNNING, Overview, Row
from trpo_cli.system.machine import memory_in_use
from trpo_cli.terminal.display import PlainLines, display
from trpo_cli.terminal.view import View, kl_bound
from trpo_cli.untrusted import parse_json, parse_yaml

TICK = 1.0
LINE_SECONDS = 10.0
"""Plain output: a line this often at most."""
PACE = 20
"""Rows over which the speed is measured."""


def watch(word: str) -> int:
    """Show how far a run or sweep is until nothing goes on there; returns 0."""
    folder = run_or_sweep(word, f"--watch {word}")
    if index.is_sweep(folder):
        watch_sweep(folder)
    else:
        watch_run(require(folder))
    return 0


def watch_run(folder: Path) -> None:
    """Show the rows of a run as they are written, and how it ends."""
    view = begun(folder)
    out, rows, told = display(sys.stdout), Rows(folder / METRICS), -LINE_SECONDS
    pace: deque[tuple[int, float]] = deque(maxlen=PACE)
    out.print(f"{view.title}, in {folder}")
    with contextlib.closing(out):
        while True:
            going, seen = holder(folder), rows.new()
            for row in seen:
                view.take(row)
                pace.append((view.step, float(row.get("seconds") or 0.0)))
            last = going is None
            if (seen or last) and (out.live or last or time.monotonic() - told >= LINE_SECONDS):
                told = time.monotonic()
                _complete(view, folder, pace, going)
                out.show(view)
            if last:
                break
            time.sleep(TICK)
    content = manifest.read(folder)
    status = content.get("status", "not begun")
    if status == "running":
        status = f"stopped without saying why; trpo-run resume={folder} goes on with it"
    reason = content.get("reason")
    PlainLines(sys.stdout).print(f"{status}{f': {reason}' if reason else ''}")


def begun(folder: Path) -> View:
    """The view of a run before its first row. What its configuration names is not imported."""
    path = folder / CONFIG
    try:
        content = parse_yaml(path.read_bytes())
        rule, env, total = content["algo"], content["env"]["id"], int(content["total_steps"])
        title = f"{rule['name']} on {env}, seed {content.get('seed')}"
        return View(title, max(1, total), kl_bound(SimpleNamespace(**rule)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the configuration of a run: {error}.") from error


def _complete(
    view: View, folder: Path, pace: deque[tuple[int, float]], process: str | None
) -> None:
    """What is not in the rows: speed, memory, the last evaluation."""
    (first, began), (last, ended) = (pace[0], pace[-1]) if pace else ((0, 0.0), (0, 0.0))
    view.rate = (last - first) / (ended - began) if ended > began else 0.0
    view.memory = memory_in_use(process) if process else None
    record = next((r for r in last_rows(folder / EVAL) if "checkpoint" not in r), None)
    if record is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            view.take_evaluation(record)


def watch_sweep(folder: Path) -> None:
    """Show the table of a sweep's runs."""
    rows = [_row(folder, job) for job in index.read(folder).jobs]
    ended = set[int]()
    at_once = sum(holder(row.folder) is not None for row in rows)
    with contextlib.closing(Overview(rows, max(1, at_once))) as overview:
        while True:
            going = holder(folder) is not None
            for job in index.read(folder).jobs[len(rows) :]:  # a race adds some
                rows.append(_row(folder, job))
                overview.add(rows[-1])
            for row in rows:
                content = manifest.read(row.folder)
                status = str(content.get("status", ""))
                if status in (FINISHED, FAILED, INTERRUPTED) and row.number not in ended:
                    ended.add(row.number)
                    overview.ended(row.number, status, str(content.get("reason") or ""))
                elif status == RUNNING and row.total == 1:
                    row.total = begun(row.folder).total
            running = [row.number for row in rows if holder(row.folder) is not None]
            overview.running([number for number in running if number not in ended])
            if not going and not running:
                break
            time.sleep(TICK)
    PlainLines(sys.stdout).print(overview.summary())


def _row(sweep_dir: Path, job: index.Job) -> Row:
    """Of a run that may have begun."""
    folder = sweep_dir / job.folder
    return Row(job.number, job.name, folder, begun(folder).total if has_begun(folder) else 1)


def holder(folder: Path) -> str | None:
    """The process that is in a folder, as far as can be seen from here; None when there is none.

    A process of another machine cannot be looked for, and counts as there while the manifest says
    that the run goes on.
    """
    with contextlib.suppress(OSError):
        said = re.match(r"process (\d+) on (.*)", (folder / LOCK).read_text(errors="replace"))
        if said is None:
            return None
        if said[2] != platform.node():
            return said[1] if manifest.read(folder).get("status") == RUNNING else None
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(said[1]), 0)
            return said[1] if is_held(folder) else None
    return None


class Rows:
    """The whole rows of a file that grows, each once."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> list[dict[str, Any]]:
        """Those since the last call."""
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, os.SEEK_END) < self._read:
                    self._read = 0  # cut by a resumption
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        whole, newline, _ = data.rpartition(b"\n")
        self._read += len(whole) + len(newline)
        try:
            return [parse_json(line) for line in whole.splitlines()]
        except ValueError as error:
            raise UserError(f"{self._path} is not JSON Lines: {error}.") from error
