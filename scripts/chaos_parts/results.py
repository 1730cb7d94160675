"""What a run left, and whether it is what it must be."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos_parts.children import Failure, said, start, wait
from trpo_cli.errors import UserError
from trpo_cli.runs import chain, checkpoint, manifest
from trpo_cli.runs.event_file import events_files, records


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in chain.lines_of(path.read_bytes())]


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not chain.timed(key)}


def result(run_dir: Path, best: bool = True) -> dict[str, Any]:
    """All that must be the same. best: also the evaluation of the best checkpoint, which may be
    lost for good."""
    arrays, state = checkpoint.load(checkpoint.latest(run_dir))
    evaluations = [untimed(r) for r in rows(run_dir / "eval.jsonl") if "by" not in r]
    return {
        "metrics": [untimed(row) for row in rows(run_dir / "metrics.jsonl")],
        "evaluations": [row for row in evaluations if "checkpoint" not in row],
        "best": [row for row in evaluations if "checkpoint" in row] if best else None,
        "arrays": {key: (a.dtype.str, a.shape, a.tobytes()) for key, a in arrays.items()},
        "generators": state["generators"],
    }


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if found[key] != value:
            raise Failure(f"{key} is not what a run without interruptions has")


def check_files(run_dir: Path) -> None:
    """The files of a finished run are in order, and TensorBoard shows each row once."""
    content = manifest.read(run_dir)
    if content["status"] != "finished":
        raise Failure(f"the manifest says {content['status']}")
    manifest.check_config(run_dir, content)
    files = {name: (run_dir / name).read_bytes() for name in chain.FILES}
    if wrong := chain.check_run(content, files):
        raise Failure(wrong)
    (events,) = events_files(run_dir)
    shown = len(list(records(events.read_bytes())))
    own = [row for row in rows(run_dir / "eval.jsonl") if "by" not in row]
    expected = len(rows(run_dir / "metrics.jsonl"))
    expected += sum("checkpoint" not in row for row in own)
    if shown != expected + 3:  # the format's version, the start and the end of the session
        raise Failure(f"TensorBoard shows {shown - 3} of {expected} rows")
    hidden = [p.name for p in run_dir.rglob(".*") if p.name != ".lock"]
    if hidden:
        raise Failure(f"{hidden} was left behind")


def contents(folder: Path) -> dict[str, bytes]:
    """All files, but for the lock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name != ".lock" and (path.is_symlink() or path.is_file()):
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(folder))] = data
    return found


def refused(out: str, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """A refusal is one paragraph, past warnings, and changed nothing."""
    told = [line for line in out.splitlines() if not line.startswith("warning: ")]
    if len(told) != 1 or "Traceback" in out:
        raise Failure(f"the refusal is not one paragraph: {out}")
    if after != before:
        changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        raise Failure(f"a refusal changed {', '.join(changed)}")


def answered(
    command: Callable[[list[str]], int], words: Sequence[str], folder: Path, there: Path
) -> tuple[int, str]:
    """The exit status of a command and what it said; a refusal, 2, has changed nothing there."""
    before = contents(there)
    code = wait(start(command, words, folder))
    out = said(folder)
    if code == 2:
        refused(out, before, contents(there))
    return code, out


def lines_in(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.read_bytes().count(b"\n")
    return 0


def is_finished(run_dir: Path) -> bool:
    with contextlib.suppress(UserError):
        return manifest.read(run_dir).get("status") == "finished"
    return False
