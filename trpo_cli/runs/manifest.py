"""manifest.json: what ran, with which versions, where, when, and how it ended."""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trpo_cli
from trpo_cli.runs.directory import MANIFEST, read_json, write_atomically
from trpo_cli.system import machine

FORMAT = 1
STATUSES = ("running", "finished", "interrupted", "failed")


class Manifest:
    """The manifest of one run; `content` is what the file holds (see `start` for the keys)."""

    def __init__(self, run_dir: Path, content: dict[str, Any]) -> None:
        self.path = run_dir / MANIFEST
        self.content = content

    def write(self) -> None:
        """Replace the file: a reader sees the old one or the new one, never a part."""
        text = json.dumps(self.content, indent=2, allow_nan=False)
        write_atomically(self.path, text.encode() + b"\n")

    def finish(self, status: str, reason: str | None = None, step: int | None = None) -> None:
        """Write how the run ended.

        status: finished, interrupted or failed; reason: one line for a person; step: environment
        steps done.
        """
        if status not in STATUSES[1:]:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUSES[1:])}")
        self.content.update(status=status, reason=reason, ended=_now())
        if step is not None:
            self.content["step"] = int(step)
        self.write()


def start(
    run_dir: Path,
    *,
    command: Sequence[str],
    seed: int,
    device: str,
    backend: str,
    threads: int,
    processes: int = 1,
) -> Manifest:
    """Write the manifest of a run that begins now and return it.

    command: the command line, program first. device: cpu or cuda. backend: the simulator's.
    processes: how many train together, with `threads` threads each.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "status": "running",
        "reason": None,
        "step": 0,
        "command": shlex.join(command),
        "started": _now(),
        "ended": None,
        "seed": int(seed),
        "device": device,
        "backend": backend,
        "threads": int(threads),
        "processes": int(processes),
        "version": trpo_cli.__version__,
        "versions": machine.versions(),
        "machine": machine.machine(device),
    }
    if git := machine.checkout(Path(trpo_cli.__file__).resolve().parents[1]):
        content["git"] = git
    manifest = Manifest(run_dir, content)
    manifest.write()
    return manifest


def resume(run_dir: Path, *, step: int, command: Sequence[str], **facts: Any) -> Manifest:
    """Write that the run goes on from environment step `step` and return its manifest.

    The beginning stays as it is; `resumed` gets an entry with the time, the step, the command line
    and the versions. command and the other facts are those of `start`, which a run that was killed
    before it had a manifest gets now.
    """
    content = read(run_dir)
    manifest = Manifest(run_dir, content) if content else start(run_dir, command=command, **facts)
    entry = {
        "time": _now(),
        "step": step,
        "command": shlex.join(command),
        "version": trpo_cli.__version__,
        "versions": machine.versions(),
        **facts,
    }
    resumed = [*manifest.content.get("resumed", []), entry]
    manifest.content.update(status="running", reason=None, ended=None, step=step, resumed=resumed)
    manifest.write()
    return manifest


def changed_versions(run_dir: Path) -> str:
    """Which versions are other than when the run was last started, in words; empty when none."""
    content = read(run_dir)
    before = [content, *content.get("resumed", [])][-1].get("versions", {})
    now = machine.versions()
    changed = [name for name in before if now.get(name) != before[name]]
    return ", ".join(f"{name} {now.get(name)} instead of {before[name]}" for name in changed)


def read(run_dir: Path) -> dict[str, Any]:
    """The content of a run's manifest, empty before it has one; raises `UserError` when that is
    broken or too new."""
    path = run_dir / MANIFEST
    return read_json(path, FORMAT, "a manifest", dict) if path.exists() else {}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
