"""Finding runs below folders and reading them fast: columns of numbers, not rows of dicts."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.valid import (
    LARGEST,
    check_clock,
    check_config,
    check_evaluations,
    check_manifest,
)
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import CONFIG, EVAL, MANIFEST, METRICS
from trpo_cli.runs.manifest import check_config as check_original
from trpo_cli.runs.whole import read_whole
from trpo_cli.untrusted import MAX_YAML, harmless, parse_json, parse_yaml, printable

RETURN = "train/return_recent"
PROGRESS = ("step", "seconds", "iteration", "train/return_mean", "train/episodes", RETURN)
DIAGNOSTICS = (
    "policy/kl",
    "policy/kl_max",
    "policy/surrogate_before",
    "policy/surrogate_after",
    "policy/clip_fraction",
    "trust_region/accepted",
    "trust_region/backtracks",
    "trust_region/predicted_kl",
    "trust_region/expected_improvement",
    "trust_region/actual_improvement",
    "trust_region/in_sample_improvement",
    "trust_region/held_out_improvement",
    "trust_region/cg_residual",
    "trust_region/curvature",
    "value/explained_variance",
)
WORDS = {"trust_region/reason", "policy/skipped"}
"""Columns of text: empty, or why an update did not happen."""

LONGEST_REASON = 300
"""Characters of the reason why a folder is left out."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """What a run directory says.

    folder: the argument it was found under. config: flat, "algo.max_kl": 0.01. columns: key ->
    (rows,), NaN where a row has no number. words: key -> how often each text. evals: the lines of
    eval.jsonl. tool: whose files it was read from, empty for ours; of another tool's run most
    settings and columns are missing, its budget and versions among them.
    """

    path: Path
    folder: str
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    columns: Mapping[str, Floats]
    words: Mapping[str, Counter[str]]
    evals: Sequence[Mapping[str, Any]]
    tool: str = ""

    @property
    def env(self) -> str:
        return str(self.config["env.id"])

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def steps(self) -> int:
        return int(self.columns["step"][-1])

    def column(self, key: str) -> Floats:
        """(rows,), NaN throughout where the run has no such column."""
        return self.columns.get(key, np.full(self.columns["step"].shape, np.nan))

    @property
    def reached(self) -> int:
        """Steps of its budget that it made; the last batch may end behind it."""
        return min(self.steps, int(self.config.get("total_steps", self.steps)))

    @property
    def evaluations(self) -> list[Mapping[str, Any]]:
        """Evaluations of the policy in training, and those of the same kind that trpo-eval added
        behind them."""
        kind = self.config.get("eval.deterministic")
        lines = (line for line in self.evals if "checkpoint" not in line)
        return [line for line in lines if line.get("deterministic") == kind]

    @property
    def finished(self) -> bool:
        return self.manifest.get("status") == "finished"

    @property
    def versions(self) -> dict[str, str]:
        return {"trpo_cli": self.manifest.get("version"), **self.manifest.get("versions", {})}


@dataclass(frozen=True)
class Found:
    """runs: in the order of their paths. notes: one sentence per folder that is not used."""

    runs: list[Run]
    notes: list[str]


def find_runs(folders: Sequence[str], extra: Iterable[str] = ()) -> Found:
    """Read every run below the folders. extra: columns wanted besides the usual ones.

    Raises `UserError` for a folder that does not exist and where there is no run at all.
    """
    wanted = (*PROGRESS, *DIAGNOSTICS, *extra)
    runs: list[Run] = []
    notes: list[str] = []
    seen: set[Path] = set()
    # Where a pattern of the shell caught files beside folders, the folders are meant.
    files = [name for name in folders if Path(name).is_file()]
    if len(files) < len(folders):
        notes += [f"{name} is a file and is not looked at." for name in files]
        folders = [name for name in folders if name not in files]
    for folder in folders:
        for path in run_folders(require(folder)):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                runs.append(read_run(path, folder, wanted))
            except (OSError, ValueError, KeyError, TypeError, OverflowError, UserError) as error:
                words = " ".join(str(error).split()) or type(error).__name__
                words = textwrap.shorten(printable(words), LONGEST_REASON)
                notes.append(f"{printable(str(path))} is left out: {words}.")
    if not runs:
        where = ", ".join(folders)
        reasons = " ".join(notes[:3])
        raise UserError(
            f"There is no run to read below {where}. A run is a folder with {CONFIG}, {MANIFEST} "
            f"and {METRICS}, as trpo-run makes it. {reasons}".rstrip()
        )
    return Found(runs, notes)


def unchecked(runs: Sequence[Run]) -> list[str]:
    """A sentence about runs whose rows carry no chain, if there are any."""
    older = sum("rows" not in run.manifest and not run.tool for run in runs)
    words = f"{older} of {len(runs)} runs were begun by an older version: a change to their rows"
    return [f"{words} would go unnoticed."] if older else []


def require(folder: str) -> Path:
    path = Path(folder)
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{folder} is a file, not a folder. Give the folder that holds the runs.")
    import difflib

    beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, 1)
    hint = f" Did you mean {path.parent / close[0]}?" if close else ""
    raise UserError(f"The folder {folder} does not exist.{hint}")


def run_folders(top: Path) -> Iterator[Path]:
    """Folders that look like a run, sorted; nothing below one of them, nothing hidden."""
    for where, below, files in os.walk(top):
        if METRICS in files or (CONFIG in files and MANIFEST in files):
            below.clear()
            yield Path(where)
        below[:] = sorted(name for name in below if not name.startswith("."))


def read_run(path: Path, folder: str, wanted: Sequence[str]) -> Run:
    """Read one run; raises ValueError saying what is wrong with it."""
    for name in (CONFIG, MANIFEST, METRICS):
        if not (path / name).is_file():
            raise ValueError(f"it has no {name}")
    with open(path / CONFIG, "rb") as file:
        nested = harmless(parse_yaml(file.read(MAX_YAML + 1)))
    config = flatten(nested) if isinstance(nested, dict) else {}
    check_config(config)
    manifest, files = read_whole(path)
    check_original(path, manifest)
    manifest = harmless(manifest)
    check_manifest(manifest)
    rows = parse(METRICS, files[METRICS])
    if not rows:
        raise ValueError(f"its {METRICS} has no complete line")
    columns = {key: column_of(rows, key) for key in dict.fromkeys(wanted) if key in rows[0]}
    check_clock(columns)
    if not np.isfinite(columns.get("iteration", [np.nan])).all():
        columns["iteration"] = np.arange(1.0, len(rows) + 1.0)
    words = {
        key: Counter(harmless(str(row.get(key) or "")) for row in rows)
        for key in WORDS & rows[0].keys()
    }
    if manifest.get("status") == "finished" and manifest.get("step") != columns["step"][-1]:
        raise ValueError(f"its {METRICS} ends before the {manifest.get('step')} steps of the run")
    evals = parse(EVAL, files.get(EVAL, b""))
    check_evaluations(evals)
    return Run(Path(printable(str(path))), folder, config, manifest, columns, words, evals)


def column_of(rows: Sequence[Mapping[str, Any]], key: str) -> Floats:
    """(rows,) the values of a key, NaN for null; raises ValueError for what is no number."""
    column = np.array([row.get(key) for row in rows], dtype=np.float64)
    if column.shape != (len(rows),) or np.any(np.abs(column) > LARGEST):
        raise ValueError(f"{key} in its {METRICS} is not a number everywhere")
    return column


def parse(name: str, data: bytes) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file. A last line that a dying process left torn is not one.

    Parsed as one array: keys are then shared between rows, in time as in memory.
    """
    lines = data.split(b"\n")
    lines.pop()  # empty behind the last newline, else torn
    try:
        rows = parse_json(b"[" + b",".join(line for line in lines if line.strip()) + b"]")
    except ValueError as error:
        raise ValueError(f"{name} is not JSON Lines ({error})") from None
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} has lines that are not objects")
    return rows


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; lists stay whole, and so do an environment's "kwargs": any
    names may stand there."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict) and value and key != "kwargs":
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
