"""What a tracker is, which there are, and how one is found by its name."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trpo_cli.components import imported
from trpo_cli.errors import UserError
from trpo_cli.settings import suggestion

BUILT_IN = {"wandb": "Wandb", "mlflow": "Mlflow", "trackio": "Trackio"}
"""Name -> the class in the module of that name here. Each needs the package of that name."""
PROJECT = "trpo_cli"
"""Where runs are filed in a tracker when its own environment variables name no project."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker gets to know of a run.

    id: 16 digits, the same when the run goes on. name: for people. group: the sweep or search that
    it belongs to; None for a run of its own. config: every setting, dotted key -> value. folder:
    the run directory, absolute. resumed: whether the tracker has seen the run before. pid: of the
    process that trains.
    """

    id: str
    name: str
    group: str | None
    config: Mapping[str, Any]
    folder: Path
    resumed: bool
    pid: int


class Tracker(Protocol):
    """One made of a `TrackedRun`. It may raise what it likes: that ends the tracker, not the run.

    A method `video(step, path)` gets the MP4 files of ``eval.video``, where there is one. An
    attribute `where` is a line of text, shown once, that says where the run can be seen.
    """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """An update's metrics, or the means of an evaluation, under the names that TensorBoard
        has. Steps never fall; an evaluation comes behind the update at its step."""
        ...

    def finish(self, status: str) -> None:
        """The last call. status: finished, interrupted, failed, or killed, if nothing was said."""
        ...


def check(names: Sequence[str]) -> None:
    """Raise `UserError` for a tracker that is not known or not installed."""
    for name in names:
        if ":" in name:
            load(name)
        elif name not in BUILT_IN:
            raise UserError(
                f"logger={name} is not one of its values: {', '.join(BUILT_IN)}."
                + (suggestion(name, list(BUILT_IN)) or " One of your own is logger=module:Class.")
            )
        elif not _is_installed(name):
            raise UserError(
                f'logger={name} needs the package {name}: pip install "trpo_cli[{name}]". Without '
                "it the run's own files and TensorBoard have the same numbers."
            )


def load(name: str) -> Any:
    """The class of a tracker, built-in or ``module:Class``. Raises `UserError` when there is none
    of that name."""
    if ":" not in name:
        return getattr(importlib.import_module(f"trpo_cli.trackers.{name}"), BUILT_IN[name])
    path, _, attribute = name.partition(":")
    kind = getattr(imported(path, f"logger={name}"), attribute, None)
    if kind is None:
        raise UserError(f"logger={name}: the module {path} has no {attribute}.")
    lacking = [method for method in ("log", "finish") if not hasattr(kind, method)]
    if lacking:
        raise UserError(
            f"logger={name}: {attribute} has no method {lacking[0]}. A tracker is a class with "
            "log(step, metrics) and finish(status)."
        )
    return kind


def _is_installed(package: str) -> bool:
    """A folder of that name, which the package itself leaves behind, is not the package."""
    if package in sys.modules:
        return True
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
