"""Which runs are repetitions of one experiment, and which differ in what."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trpo_cli.compare.labels import rename
from trpo_cli.compare.read import Run
from trpo_cli.errors import UserError

LONGEST_NAME = 60
"""Characters of a name in that of a file."""
RULE = ("algo.name", "sampler.name")
SHORT = {"algo": "algo.name", "sampler": "sampler.name", "policy": "policy.name"}
SHORT |= {"value": "value.name"}
FROM_MANIFEST = ("version", "folder")
BOOKKEEPING = re.compile(
    r"(seed|threads|device|debug|resume|env\.(workers|vector)|checkpoint\..*|eval\..*)$"
)
"""Settings that do not change what a run is a sample of."""

KWARGS = "env.kwargs."
ABSENT = object()
"""The value of a setting that a run does not have."""

Key = TypeVar("Key")


@dataclass(frozen=True)
class Group:
    """The runs on one environment that share a label, one per seed."""

    env: str
    label: str
    runs: tuple[Run, ...]

    @property
    def tool(self) -> str:
        """Whose runs these are, empty for ours."""
        return self.runs[0].tool


@dataclass(frozen=True)
class Grouping:
    """envs, labels: in the order of the figures. groups: those that have runs. notes: what a
    reader must know."""

    envs: list[str]
    labels: list[str]
    groups: Mapping[tuple[str, str], Group]
    notes: list[str]

    def of(self, env: str) -> list[Group]:
        return [self.groups[env, label] for label in self.labels if (env, label) in self.groups]


def make_groups(runs: Sequence[Run], by: Sequence[str] = (), names: Sequence[str] = ()) -> Grouping:
    """Group by algorithm, sampler, the keys in `by`, and environment.

    by: flat configuration keys; "algo", "sampler", "policy", "value" stand for their names,
    "version" and "folder" for the package's version and the folder given on the command line.
    names: "old=new" of labels. Raises `UserError` for a key that no run has, and for a name.
    """
    asked = [key for key in check_keys(runs, by) if key != "env.id"]
    keys = list(dict.fromkeys([*RULE, *asked]))
    plain = make_labels(runs, keys)
    labels = rename(plain, names)
    members = grouped(runs, [(run.env, label) for run, label in zip(runs, labels, strict=True)])
    notes: list[str] = []
    made = {
        (env, label): Group(env, label, tuple(one_per_seed(found, notes)))
        for (env, label), found in members.items()
    }
    notes += mixed_settings(made.values(), keys)
    new = dict(zip(plain, labels, strict=True))
    order = [new[label] for label in sorted(new, key=natural)]
    return Grouping(sorted({run.env for run in runs}, key=natural), order, made, notes)


def check_keys(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    known = {key for run in runs for key in run.config} | set(FROM_MANIFEST)
    known |= {KWARGS + name for run in runs for name in run.config.get("env.kwargs") or {}}
    found = []
    for name in by:
        key = {"env": "env.id", **SHORT}.get(name, name)
        if key == "seed":
            raise UserError("--by seed cannot be: seeds are what is averaged over. Leave it out.")
        if key not in known:
            last = {k.rpartition(".")[2]: k for k in sorted(known)}
            close = difflib.get_close_matches(name, [*known, *SHORT], 1) or [
                last[m] for m in difflib.get_close_matches(name, last, 1)
            ]
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UserError(
                f"--by {name}: no run has a setting of that name.{hint} Settings are named as on "
                "trpo-run's command line, algo.max_kl for example."
            )
        found.append(key)
    return found


def grouped(runs: Sequence[Run], keys: Iterable[Key]) -> dict[Key, list[Run]]:
    """The runs that share a key, in the order of first appearance. keys: one per run."""
    found: dict[Key, list[Run]] = {}
    for run, key in zip(runs, keys, strict=True):
        found.setdefault(key, []).append(run)
    return found


def setting(run: Run, key: str) -> Any:
    """A run's value of a key that groups may be told apart by, or `ABSENT`."""
    if key in FROM_MANIFEST:
        return run.folder if key == "folder" else run.manifest.get("version", ABSENT)
    if key.startswith(KWARGS):
        return (run.config.get("env.kwargs") or {}).get(key.removeprefix(KWARGS), ABSENT)
    return run.config.get(key, ABSENT)


def rule_of(run: Run) -> str:
    """The algorithm, +sampler where it is not single_path, +init where it began with another run's
    policy."""
    rule, sampler = run.config["algo.name"], run.config.get("sampler.name")
    words = [str(rule), *([] if sampler in (None, "single_path") else [str(sampler)])]
    return "+".join([*words, *(["init"] if run.config.get("init") else [])])


def make_labels(runs: Sequence[Run], keys: Sequence[str]) -> list[str]:
    """Short names: `rule_of`, then `key=value` of the other keys, those that are the same
    everywhere left out, and those that a run does not have."""
    labels = [rule_of(run) for run in runs]
    for key in keys:
        values = [setting(run, key) for run in runs]
        if len({repr(value) for value in values}) > 1 and key not in RULE:
            name = key.rpartition(".")[2]
            labels = [
                old if value is ABSENT else f"{old} {name}={show(value)}"
                for old, value in zip(labels, values, strict=True)
            ]
    return labels


def show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else str(value).replace(" ", "")


def file_name(name: str) -> str:
    """An environment's id as part of a file's name, which has an end."""
    safe = re.sub(r"[^\w-]", "_", name)
    if len(safe) <= LONGEST_NAME:
        return safe
    return f"{safe[:LONGEST_NAME]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def natural(text: str) -> list[Any]:
    """Sort key under which 0.01 < 0.1 < 2 < 10, and vpg < npg < trpo < ppo."""
    rules = {name: str(i) for i, name in enumerate(("vpg", "npg", "trpo", "ppo"))}
    head, _, rest = text.partition(" ")
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", rest)
    numbers = [(0, float(p), "") if i % 2 else (1, 0.0, p) for i, p in enumerate(parts)]
    rule, _, sampler = head.partition("+")
    return [rules.get(rule, "9" + rule), sampler, numbers]


def one_per_seed(runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """Drop repetitions of the same seed with the same settings: they are one sample, not two."""
    kept: dict[Any, Run] = {}
    for run in runs:
        ignored = {k: v for k, v in run.config.items() if not BOOKKEEPING.match(k)}
        key = (run.seed, repr(sorted(ignored.items())), run.manifest.get("version"))
        if run.tool:  # its settings are not known, so that they may well differ
            key = (run.path, run.seed, "")
        if key in kept:
            notes.append(
                f"{run.path} is left out: same seed and settings as {kept[key].path}, so it adds "
                "no independent run."
            )
        else:
            kept[key] = run
    return list(kept.values())


def differing(runs: Sequence[Run], by: Collection[str] = ()) -> dict[str, list[Any]]:
    """Keys whose values differ between the runs that have them, with the values; bookkeeping
    never counts, nor what runs are grouped by. An older version's run may lack a key, as may
    another kind of policy."""
    configs = [apart_from(run, by) for run in runs]
    differ: dict[str, list[Any]] = {}
    for key in sorted({key for config in configs for key in config if not BOOKKEEPING.match(key)}):
        found = {repr(config[key]): config[key] for config in configs if key in config}
        if len(found) > 1:
            differ[key] = sorted(found.values(), key=lambda v: natural(show(v)))
    return differ


def apart_from(run: Run, by: Collection[str]) -> dict[str, Any]:
    """The settings without those in `by`, single arguments of "kwargs" among them."""
    config = {key: value for key, value in run.config.items() if key not in by}
    given = config.get(KWARGS[:-1]) or {}
    config[KWARGS[:-1]] = {name: v for name, v in given.items() if KWARGS + name not in by}
    return config


def mixed_settings(groups: Iterable[Group], keys: Sequence[str]) -> list[str]:
    notes = []
    for group in groups:
        found = differing(group.runs, keys)
        if found:
            what = "; ".join(f"{k}: {', '.join(map(show, v))}" for k, v in found.items())
            notes.append(
                f"{group.label} on {group.env} mixes runs of different settings ({what}): its mean "
                f"is over settings as well as seeds. {apart(*found)}"
            )
    return notes


def apart(*keys: str) -> str:
    return f"--by {','.join(keys)} makes groups of them."


def used(run: Run, library: str) -> bool:
    backend = str(run.manifest.get("backend", ""))
    if library == "mujoco":
        return "mujoco" in backend
    return library != "ale-py" or "atari" in backend or run.env.startswith("ALE/")
