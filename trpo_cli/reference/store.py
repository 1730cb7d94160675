"""The stored results: text that grows by a line for each run, and says what made it.

A store is a folder:

    <env>.jsonl      one line for each run on that environment, sorted, keys in alphabetical order
    settings.jsonl   {"id": ..., "settings": {...}}: what runs of that id were configured with
    tuning.csv       trials of settings, on seeds that no reported run has

Numbers have six digits, those of curves five: more than a figure shows.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.groups import file_name
from trpo_cli.runs.directory import write_atomically

SETTINGS = "settings.jsonl"
TUNING = "tuning.csv"
TUNING_SEEDS = 1000
"""Seeds from here on are for choosing settings; those below are for reporting."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Of the last policy. mean, std: of the returns of n episodes, std divided by n."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Result:
    """One run.

    settings: flat, "algo.max_kl": 0.01, without seed, steps, environment and what changes no
    result. commit: of the checkout, empty where there was none, "-dirty" behind it where it had
    changes. versions: of the libraries that decide results. seconds: of the training, evaluation
    apart; cpu_seconds: of both, None where nobody measured. steps, returns: (points,), the return
    of the training episodes as `trpo-compare` draws it. kl_share: the largest `policy/kl` of an
    accepted update over its bound, None where the rule has none. normalizer_kl: the first
    iteration's and the largest after it, None for a version or a rule that logs none.
    """

    algo: str
    sampler: str
    env: str
    total_steps: int
    seed: int
    settings: Mapping[str, Any]
    version: str
    commit: str
    versions: Mapping[str, str]
    cpu: str
    updates: int
    seconds: float
    cpu_seconds: float | None
    steps: Floats
    returns: Floats
    sampled: Evaluation
    deterministic: Evaluation
    kl_share: float | None
    normalizer_kl: tuple[float, float] | None

    @property
    def rule(self) -> str:
        return rule_in_words(self.algo, self.sampler)

    @property
    def cell(self) -> tuple[str, str, str, int]:
        return (self.algo, self.sampler, self.env, self.total_steps)

    def repeats(self, other: Result, usual: Mapping[str, Any]) -> bool:
        """Whether both are the same run, of this version of the code or another. usual: as
        `differing` has it."""
        mine, theirs = ((*r.cell, r.seed) for r in (self, other))
        return mine == theirs and not differing(self.settings, other.settings, usual)


@dataclass(frozen=True)
class Trial:
    """A run that tried a setting. settings: their id. changes: what differed from the defaults of
    `commit`, as trpo-run takes it. final: return of its last policy, sampled actions; area: mean
    height of its curve of returns."""

    env: str
    algo: str
    sampler: str
    total_steps: int
    changes: str
    settings: str
    seed: int
    final: float
    area: float
    seconds: float
    version: str
    commit: str

    @property
    def rule(self) -> str:
        return rule_in_words(self.algo, self.sampler)

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.env, self.algo, self.sampler, self.total_steps, self.settings, self.seed)


def spaced(first: float, last: float, points: int) -> Floats:
    """(points,): the steps of a stored curve, s_k = first + (last - first) (k / (points - 1))^1.5.
    They are closer at the start, where short runs are compared and most is learned."""
    share = np.linspace(0.0, 1.0, points)
    return np.asarray(first + (last - first) * share**1.5)


def rule_in_words(algo: str, sampler: str) -> str:
    """The algorithm, +sampler where it is not single_path."""
    return algo if sampler == "single_path" else f"{algo}+{sampler}"


def differing(
    a: Mapping[str, Any], b: Mapping[str, Any], usual: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Settings of two runs that have other values. A version that does not know a setting had its
    default, as a new one's is what was there before. usual: the defaults; without them, two
    versions of which one knows a setting are taken to agree in it."""
    a, b = ({**(usual or {}), **settings} for settings in (a, b))
    return {key: (a[key], b[key]) for key in sorted(a.keys() & b.keys()) if a[key] != b[key]}


def packaged() -> Traversable:
    """The store that travels with the package."""
    return files("trpo_cli.reference") / "data"


def read(store: Traversable, env: str | None = None) -> list[Result]:
    """All runs of a store, or those on one environment, in the order of its files."""
    settings = read_settings(store)
    return [
        _result(row, settings[row["settings"]])
        for name in _names(store, env)
        for row in _rows(store / name)
    ]


def read_settings(store: Traversable) -> dict[str, dict[str, Any]]:
    """id -> settings."""
    return {row["id"]: row["settings"] for row in _rows(store / SETTINGS)}


def settings_id(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits for these settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def add(
    store: Path, new: Sequence[Result], usual: Callable[..., Mapping[str, Any]] = lambda *_: {}
) -> int:
    """Put runs into a store, each in the place of the one that it repeats; returns how many took
    the place of one. usual: the defaults of a rule, a sampler and an environment."""
    replaced = 0
    settings = read_settings(store) | {settings_id(r.settings): dict(r.settings) for r in new}
    _write_settings(store, settings)  # before the runs that name them
    for env in dict.fromkeys(r.env for r in new):
        mine, old = [r for r in new if r.env == env], read(store, env)
        known = [(n, usual(n.algo, n.sampler, n.env)) for n in mine]
        rest = [r for r in old if not any(r.repeats(n, defaults) for n, defaults in known)]
        replaced += len(old) - len(rest)
        runs = sorted([*rest, *mine], key=lambda r: (*r.cell, settings_id(r.settings), r.seed))
        _write(store / f"{file_name(env)}.jsonl", map(_row, runs))
    used = {row["settings"] for name in _names(store) for row in _rows(store / name)}
    _write_settings(store, {key: settings[key] for key in used})
    return replaced


def read_trials(store: Traversable) -> list[Trial]:
    path = store / TUNING
    if not path.is_file():
        return []
    whole, real = ("total_steps", "seed"), ("final", "area", "seconds")
    trials = list[Trial]()
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        values: dict[str, Any] = {key: int(row[key]) for key in whole}
        values |= {key: float(row[key]) for key in real}
        trials.append(Trial(**{**row, **values}))
    return trials


def add_trials(store: Path, new: Sequence[Trial]) -> int:
    """`add` for trials: of the same settings, whatever the defaults were then."""
    old = read_trials(store)
    rest = [t for t in old if t.key not in {n.key for n in new}]
    with io.StringIO() as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(f.name for f in fields(Trial))
        for trial in sorted([*rest, *new], key=lambda t: (*t.key[:4], t.changes, *t.key[4:])):
            writer.writerow(map(_short, asdict(trial).values()))
        write_atomically(store / TUNING, text.getvalue().encode())
    return len(old) - len(rest)


def _names(store: Traversable, env: str | None = None) -> list[str]:
    wanted = None if env is None else f"{file_name(env)}.jsonl"
    names = sorted(f.name for f in store.iterdir() if f.name.endswith(".jsonl"))
    return [n for n in names if n != SETTINGS and wanted in (None, n)]


def _rows(path: Traversable) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _row(run: Result) -> dict[str, Any]:
    row = {f.name: getattr(run, f.name) for f in fields(run)}
    steps, returns = row.pop("steps"), row.pop("returns")
    return {
        **{key: _short(value) for key, value in row.items()},
        "settings": settings_id(run.settings),
        "sampled": [_short(v) for v in asdict(run.sampled).values()],
        "deterministic": [_short(v) for v in asdict(run.deterministic).values()],
        # The ends and the number of returns say where they are: see `spaced`.
        "normalizer_kl": run.normalizer_kl and [_short(v) for v in run.normalizer_kl],
        "curve": [_short(steps[0]), _short(steps[-1]), [_short(v, 5) for v in returns]],
    }


def _result(row: dict[str, Any], settings: Mapping[str, Any]) -> Result:
    first, last, returns = row.pop("curve")
    return Result(
        **row
        | {
            "settings": settings,
            "steps": spaced(first, last, len(returns)),
            "returns": np.array(returns, dtype=np.float64),
            "sampled": Evaluation(*row["sampled"]),
            "deterministic": Evaluation(*row["deterministic"]),
            "normalizer_kl": row["normalizer_kl"] and tuple(row["normalizer_kl"]),
        }
    )


def _short(value: Any, digits: int = 6) -> Any:
    """A float with so many digits, a whole number without a point; anything else as it is."""
    if not isinstance(value, float):
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() else short


def _write_settings(store: Path, settings: Mapping[str, Any]) -> None:
    _write(store / SETTINGS, ({"id": key, "settings": settings[key]} for key in sorted(settings)))


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = (json.dumps(row, sort_keys=True, allow_nan=False) + "\n" for row in rows)
    write_atomically(path, "".join(lines).encode())
