"""What this user has run on this machine: modules, and settings of Hydra's that can run a program.

A run, sweep or search directory may come from somebody else, and what it names would be imported or
executed. What was named in a run of one's own goes on without a question; anything else takes
``--trust``. The list stands in the user's own state folder, never in a directory that is handed on.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from trpo_cli.errors import UserError

OURS = ("trpo_cli", "gymnasium", "ale_py")
"""Packages that every installation has, or that environments of ours come from."""


def remember(modules: Iterable[str], settings: Iterable[str] = ()) -> None:
    """Note modules that were named, and settings, as one's own. Where the disk refuses, a warning
    says so: the same will take ``--trust`` later."""
    new = sorted({*_places(modules).values(), *map(_line, settings)} - _known())
    if not new:
        return
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # One write: lines of two processes never mix.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, "".join(f"{line}\n" for line in new).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        print(
            f"warning: {path} cannot be written ({error.strerror}): going on with this run, or "
            "evaluating it, takes --trust.",
            file=sys.stderr,
        )


def check_modules(modules: Iterable[str], source: str) -> None:
    """Raise `UserError` for a module that can be imported here, and that no run of one's own has
    named. source: the file that names it."""
    known = _known()
    for module, place in _places(modules).items():
        if place not in known:
            raise UserError(
                f"{source} names the module {module}, which would be imported from "
                f"{place.partition(' ')[2]}, and no run of yours on this machine has used that. "
                "If you trust whoever made the directory, add --trust."
            )


def check_settings(settings: Iterable[str], source: str) -> None:
    """The same for settings that can run a program or read this machine's files."""
    known = _known()
    for text in settings:
        if _line(text) not in known:
            raise UserError(
                f"{source} has {text}, which can run programs or read files, and no sweep of yours "
                "on this machine has used that. If you trust whoever made the directory, add "
                "--trust."
            )


def _places(modules: Iterable[str]) -> dict[str, str]:
    """Module -> "package place" of those that can be imported. Nothing is imported to find out."""
    found = {}
    for module in modules:
        top = module.partition(".")[0]
        place = _place(top) if top and top not in OURS else None
        if place is not None:
            found[module] = _line(f"{top} {place}")
    return found


def _place(package: str) -> str | None:
    spec: importlib.machinery.ModuleSpec | None = None
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
    # As `components.imported` looks for it.
    spec = spec or importlib.machinery.PathFinder.find_spec(package, [str(Path.cwd())])
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return os.path.realpath(spec.origin or (folders[0] if folders else package))


def _line(text: str) -> str:
    return text.replace("\n", "\\n")


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state, "trpo_cli", "known")


def _known() -> set[str]:
    with contextlib.suppress(OSError):
        return set(_file().read_text(encoding="utf-8", errors="replace").split("\n"))
    return set()
