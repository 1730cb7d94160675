"""Checkpoints: tensors and JSON only, each file with a checksum, whole or not there at all.

A checkpoint is a folder of three files. `tensors.safetensors` holds the tensors, `state.json` all
else, `index.json` the format version and each file's size and SHA-256. Nothing is pickled:
loading never runs code from a file.

A folder is written under a temporary name, flushed to the disk, then renamed to `step_<n>`.
`last` and `best` are symbolic links to such folders, replaced by one rename. So whatever happens,
each name is a whole checkpoint or missing, and the previous one goes only after the new one is in
place. Where links cannot be made they are missing, and `latest` still finds the newest step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trpo_cli.errors import CannotWrite, UserError
from trpo_cli.runs.directory import (
    CHECKPOINTS,
    moment,
    refuse_links,
    sync_folder,
    too_new,
    write_durably,
)
from trpo_cli.runs.exact_json import decode, encode
from trpo_cli.untrusted import parse_json

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
TENSORS, STATE, INDEX = "tensors.safetensors", "state.json", "index.json"
LINKS = ("last", "best")


class NewerFormat(UserError):
    """A checkpoint that is not damaged: this version cannot read it."""


def path(run_dir: Path, step: int) -> Path:
    """The folder of the checkpoint after `step` environment steps."""
    return run_dir / CHECKPOINTS / f"step_{step}"


def save(folder: Path, tensors: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Write a checkpoint as `folder` (parents are made), replacing one of that name.

    tensors: numpy arrays or torch tensors of any device and shape; views are fine.
    state: dicts with text keys, lists, text, bools, None, ints of any size and floats (infinities
        and NaN too); anything else raises TypeError before anything is written. Tuples come back
        as lists.

    Raises `CannotWrite` when the disk refuses: the checkpoints that are there stay whole.
    """
    contents = {TENSORS: to_bytes(tensors), STATE: encode(state)}
    index = {
        "format": FORMAT,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in contents.items()
        },
    }
    contents[INDEX] = json.dumps(index, indent=1).encode()
    temporary = folder.with_name(f".tmp-{folder.name}")
    refuse_links(folder.parent.parent, [folder.parent.name])
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in folder.parent.glob(".tmp-*"):  # of a run that was killed while it saved
            _remove(leftover)
        temporary.mkdir()
        for name, data in contents.items():
            write_durably(temporary / name, data)
        sync_folder(temporary)
        _put(temporary, folder)
    except OSError as error:
        _remove(temporary)  # room for whatever is written next
        raise CannotWrite(folder, error) from error


def to_bytes(tensors: Mapping[str, Any]) -> bytes:
    """Tensors as a file, each without gaps: the format knows no strides."""
    import numpy as np  # not before: finding a checkpoint needs none of it
    from safetensors.numpy import save

    arrays = {
        k: v.detach().cpu().numpy() if hasattr(v, "detach") else v for k, v in tensors.items()
    }
    return save({key: np.array(value, order="C") for key, value in arrays.items()})


def _put(temporary: Path, folder: Path) -> None:
    """Rename into place. An older folder of that name steps aside first, under a name that
    `latest` knows, and goes last."""
    aside = folder.with_name(f".old-{folder.name}")
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
    os.rename(temporary, folder)
    sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint: its tensors, as numpy arrays that may be written to, and its state.

    Raises `UserError` when it is missing, incomplete, changed since it was written, or written by
    a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    contents = _verified(folder)
    try:
        return from_bytes(contents[TENSORS]), decode(contents[STATE])
    except (SafetensorError, ValueError) as error:
        raise UserError(f"The checkpoint {folder} cannot be read: {error}.") from error


def point(run_dir: Path, name: str, step: int) -> None:
    """Make `last` or `best` the checkpoint of `step`, by one rename."""
    if name not in LINKS:
        raise ValueError(f"{name!r} is none of {', '.join(LINKS)}")
    folder = run_dir / CHECKPOINTS
    temporary = folder / f".tmp-{name}"
    try:
        temporary.unlink(missing_ok=True)
        os.symlink(path(run_dir, step).name, temporary)
        os.replace(temporary, folder / name)
        sync_folder(folder)
    except OSError:  # a file system without links: `latest` does not need them
        temporary.unlink(missing_ok=True)


def latest(run_dir: Path, refuse: Callable[[dict[str, Any]], str] = lambda _: "") -> Path:
    """The newest whole checkpoint of a run.

    A damaged newer one is passed over with a warning, and so is one for which `refuse` gives a
    reason from its state. Raises `UserError` when none is left, or the newest is of a newer format:
    going back behind it would lose what it holds.
    """
    damage: list[str] = []
    for folder in _newest_first(run_dir):
        try:
            contents = _verified(folder)
            if why := refuse(decode(contents[STATE])):
                raise UserError(f"{folder} does not fit its run: {why}.")
        except NewerFormat:
            raise
        except (UserError, ValueError) as error:
            damage.append(str(error))
            print(f"warning: {error} Using an older checkpoint.", file=sys.stderr)
            continue
        return folder
    if damage:
        raise UserError(f"{run_dir} has no whole checkpoint to go on from. {damage[0]}")
    raise UserError(
        f"{run_dir} has no checkpoint yet: a run writes one every checkpoint.minutes, every "
        "checkpoint.every environment steps and at its end."
    )


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint, as a sentence; empty when it is whole."""
    try:
        _verified(folder)
    except UserError as error:
        return str(error)
    return ""


def digest(folder: Path) -> str:
    """Digits over a checkpoint's contents, after every check."""
    _verified(folder)
    return hashlib.sha256((folder / INDEX).read_bytes()).hexdigest()[:16]


def exists(run_dir: Path) -> bool:
    """Whether a run has any checkpoint, whole or damaged."""
    return bool(_newest_first(run_dir))


def find(run_dir: Path, name: str) -> Path:
    """The checkpoint called `name` (last, best or step_<n>); `last` is the newest whole one."""
    if name == "last":
        return latest(run_dir)
    folder = run_dir / CHECKPOINTS / name
    if name != "best" and not re.fullmatch(r"step_\d+", name):
        raise UserError(f"checkpoint={name} is none of last, best, step_<n>.")
    if not folder.is_dir():
        there = [known.name for known in reversed(_newest_first(run_dir))]
        raise UserError(
            f"{run_dir} has no checkpoint {name}; it has {', '.join(there) or 'none yet'}."
        )
    return folder.resolve()


def prune(run_dir: Path, keep: int, also: Collection[int] = ()) -> None:
    """Remove all but the newest `keep` (at least one) step checkpoints, those linked to and
    those of the steps `also`."""
    folder = run_dir / CHECKPOINTS
    linked = {(folder / name).resolve() for name in LINKS if (folder / name).is_symlink()}
    for old in _newest_first(run_dir)[max(1, keep) :]:
        if old.resolve() not in linked and step_of(old) not in also:
            shutil.rmtree(old, ignore_errors=True)


def go_back(run_dir: Path, folder: Path, best: int | None) -> None:
    """Make `folder` the newest checkpoint: what is newer (and damaged, as `latest` passed over it)
    is put aside, `last` and `best` point to what the run at that step knew.

    best: the step of its best checkpoint, None when it has none yet; a damaged one is put aside.
    """
    refuse_links(run_dir, [CHECKPOINTS])
    step, proper = step_of(folder), path(run_dir, step_of(folder))
    for leftover in (run_dir / CHECKPOINTS).glob(".tmp-*"):
        _remove(leftover)
    if folder.name != proper.name:  # killed while a checkpoint of the same step replaced it
        _remove(proper)
        os.rename(folder, proper)
    for other in _newest_first(run_dir):
        if step_of(other) > step or (step_of(other) == best and damage(other)):
            _put_aside(other)
    for name, target in (("last", step), ("best", best)):
        if target is not None and path(run_dir, target).is_dir():
            point(run_dir, name, target)
        else:
            (run_dir / CHECKPOINTS / name).unlink(missing_ok=True)


def _put_aside(folder: Path) -> None:
    """Give a damaged checkpoint a name by which nothing finds it."""
    aside = folder.with_name(f"{folder.name.removeprefix('.old-')}.cut-{moment()}")
    _remove(aside)
    os.rename(folder, aside)


def _remove(found: Path) -> None:
    if found.is_dir() and not found.is_symlink():
        shutil.rmtree(found, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            found.unlink(missing_ok=True)


def step_of(folder: Path) -> int:
    """Environment steps of a checkpoint folder, from its name."""
    found = re.fullmatch(r"(?:\.old-)?step_(\d+)", folder.resolve().name)
    if found is None:
        raise UserError(f"{folder} is not named like a checkpoint (step_<n>).")
    return int(found.group(1))


def _newest_first(run_dir: Path) -> list[Path]:
    folder = run_dir / CHECKPOINTS
    names = re.compile(r"(?:\.old-)?step_\d+")
    found = [p for p in folder.glob("*step_*") if names.fullmatch(p.name)]
    return sorted(found, key=lambda p: (step_of(p), p.name), reverse=True)


def _verified(folder: Path) -> dict[str, bytes]:
    """The contents of the tensor and state files, after every check."""
    if not folder.is_dir():
        raise UserError(f"There is no checkpoint at {folder}.")
    broken = f"The checkpoint {folder} is damaged: "
    try:
        index = parse_json((folder / INDEX).read_bytes())
        version = int(index["format"])
        if version > FORMAT:
            raise NewerFormat(too_new(f"The checkpoint {folder}", version, FORMAT))
        contents = {}
        for name in (TENSORS, STATE):  # the names are ours, never the index's: no other file
            data, entry = (folder / name).read_bytes(), index["files"][name]
            if len(data) != entry["bytes"]:
                raise UserError(
                    f"{broken}{name} has {len(data)} bytes instead of {entry['bytes']}."
                )
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise UserError(f"{broken}{name} was changed after it was written (SHA-256).")
            contents[name] = data
        return contents
    except OSError as error:
        raise UserError(f"{broken}{Path(error.filename or folder).name}: {error.strerror}.") from (
            error
        )
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"{broken}{INDEX} cannot be read ({error}).") from error
