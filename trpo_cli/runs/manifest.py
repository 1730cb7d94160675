"""manifest.json: what ran, with which versions, where, when, and how it ended."""

from __future__ import annotations

import datetime
import hashlib
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs.chain import Known, check_known
from trpo_cli.runs.directory import CONFIG, MANIFEST, read_json, write_json
from trpo_cli.system import machine
from trpo_cli.version import __version__

FORMAT = 2
"""Of runs whose rows carry a chain; those of format 1 have none, and go on without."""
STATUSES = ("running", "finished", "interrupted", "failed")


class Manifest:
    """The manifest of one run; `content` is what the file holds (see `start` for the keys)."""

    def __init__(self, run_dir: Path, content: dict[str, Any]) -> None:
        self.path = run_dir / MANIFEST
        self.content = content

    def write(self) -> None:
        """Replace the file: a reader sees the old one or the new one, never a part."""
        write_json(self.path, self.content)

    def saved(self, step: int, rows: Known | None) -> None:
        """Write that there is a checkpoint of environment step `step`.

        rows: what is known about the rows by then.
        """
        self.content.update(step=step, checkpoint=step)
        self._know(rows)
        self.write()

    def finish(
        self,
        status: str,
        reason: str | None = None,
        step: int | None = None,
        rows: Known | None = None,
    ) -> None:
        """Write how the run ended.

        status: finished, interrupted or failed; reason: one line for a person; step: environment
        steps done; rows: what is known about the rows.
        """
        if status not in STATUSES[1:]:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUSES[1:])}")
        self.content.update(status=status, reason=reason, ended=_now())
        if step is not None:
            self.content["step"] = int(step)
        self._know(rows)
        self.write()

    def tracker_id(self) -> str:
        """By which trackers know the run: drawn and written when it is first asked for."""
        if "tracker_id" not in self.content:
            self.content["tracker_id"] = secrets.token_hex(8)
            self.write()
        return str(self.content["tracker_id"])

    def _know(self, rows: Known | None) -> None:
        if rows is not None:
            self.content.update(rows=dict(rows), config=self.content["config"][-1:])


def start(
    run_dir: Path,
    *,
    command: Sequence[str],
    seed: int,
    device: str,
    backend: str,
    threads: int,
    vector: str | None = None,
    processes: int = 1,
    rows: Known | None = None,
    init: dict[str, Any] | None = None,
) -> Manifest:
    """Write the manifest of a run that begins now and return it; config.yaml is there already.

    command: the command line, program first. device: cpu or cuda. backend: the simulator's.
    vector: how environments on Gymnasium are stepped, see `EnvConfig.vector`; None for others.
    processes: how many train together, with `threads` threads each. rows: what is known about the
    rows (see `chain`); None in a run without a chain. init: the checkpoint that it begins with.
    """
    content: dict[str, Any] = {
        "format": 1 if rows is None else FORMAT,
        "status": "running",
        "reason": None,
        "step": 0,
        "command": shlex.join(command),
        "started": _now(),
        "ended": None,
        "seed": int(seed),
        "device": device,
        "backend": backend,
        "vector": vector,
        "threads": int(threads),
        "processes": int(processes),
        "version": __version__,
        "versions": machine.versions(),
        "kernels": machine.kernels(),
        "machine": machine.machine(device),
    }
    if git := machine.checkout(Path(__file__).resolve().parents[2]):
        content["git"] = git
    if init is not None:
        content["init"] = init
    if rows is not None:
        content |= {"config": [digest_of_config(run_dir)], "checkpoint": None, "rows": dict(rows)}
    manifest = Manifest(run_dir, content)
    manifest.write()
    return manifest


def resume(
    run_dir: Path,
    *,
    step: int,
    command: Sequence[str],
    config: bytes,
    rows: Known | None,
    **facts: Any,
) -> Manifest:
    """Write that the run goes on from environment step `step` and return its manifest.

    The beginning stays as it is; `resumed` gets an entry with the time, the step, the command line
    and the versions. config: what config.yaml will hold. command, rows and the other facts are
    those of `start`, which a run that was killed before it had a manifest gets now.
    """
    content = read(run_dir)
    manifest = (
        Manifest(run_dir, content)
        if content
        else start(run_dir, command=command, rows=rows, **facts)
    )
    entry = {
        "time": _now(),
        "step": step,
        "command": shlex.join(command),
        "version": __version__,
        "versions": machine.versions(),
        "kernels": machine.kernels(),
        **facts,
    }
    resumed = [*manifest.content.get("resumed", []), entry]
    manifest.content.update(status="running", reason=None, ended=None, step=step, resumed=resumed)
    if rows is not None:
        # Until config.yaml is replaced, either is right.
        configs = [digest_of_config(run_dir), _digest(config)]
        manifest.content.update(config=configs, checkpoint=step or None, rows=dict(rows))
    manifest.write()
    return manifest


def digest_of_config(run_dir: Path) -> str:
    return _digest((run_dir / CONFIG).read_bytes())


def check_config(run_dir: Path, content: dict[str, Any]) -> None:
    """Raise `UserError` when config.yaml is not what the run wrote. content: of the manifest."""
    known = content.get("config")  # not in older runs
    if known is not None and digest_of_config(run_dir) not in known:
        raise UserError(
            f"{run_dir / CONFIG} was changed after the run had written it, and may not be the "
            "configuration of its rows and checkpoints any more. Put the original back; what may "
            "change of a run is written behind resume=."
        )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def changed_numbers(run_dir: Path) -> str:
    """What may round numbers otherwise than when the run was last started, in words; empty when
    nothing does: versions of libraries, and the kind of processor that they compute for."""
    content = read(run_dir)
    last = [content, *content.get("resumed", [])][-1]
    old, new = last.get("versions", {}), machine.versions()
    before = {name: (old[name], new.get(name)) for name in old}
    old, new = last.get("kernels", {}), machine.kernels()
    before |= {f"the code of {name} for": (old[name], new[name]) for name in old if name in new}
    changed = (f"{name} {n} instead of {o}" for name, (o, n) in before.items() if o != n)
    return ", ".join(changed)


def read(run_dir: Path) -> dict[str, Any]:
    """The content of a run's manifest, empty before it has one; raises `UserError` when that is
    broken or too new."""
    path = run_dir / MANIFEST
    return read_json(path, FORMAT, "a manifest", _content) if path.exists() else {}


def _content(content: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for a kind of value that no manifest has there."""
    check_known(content.get("rows"))
    for key, kinds in (
        ("step", (int,)),
        ("checkpoint", (int, type(None))),
        ("config", (list,)),
        ("resumed", (list,)),
        ("versions", (dict,)),
        ("init", (dict,)),
        ("tracker_id", (str,)),
    ):
        if key in content and not isinstance(content[key], kinds):
            raise ValueError(f"{key}={content[key]!r}")
    return content


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
