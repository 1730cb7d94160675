"""Published numbers that travel with the package, each with its protocol."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from trpo_cli.compare.wording import listed
from trpo_cli.env_ids import task_and_version


@dataclass(frozen=True)
class Published:
    """One number of a paper or a benchmark.

    version: of the task, "v3/v2" where the source says no more. steps: environment steps (agent
    steps for Atari), None where they do not apply or the source does not say. std: over seeds, None
    where not given.
    """

    algo: str
    env: str
    version: str
    steps: int | None
    mean: float
    std: float | None
    seeds: int | None
    metric: str
    source: str

    @property
    def deterministic(self) -> bool:
        """Whether the source says that the most likely actions were taken."""
        return "deterministic" in self.metric


@functools.cache
def published() -> tuple[Published, ...]:
    """Both tables, MuJoCo first."""
    mujoco = [
        Published(
            algo=row["algo"],
            env=row["env"],
            version=row["version"],
            steps=_whole(row["steps"]),
            mean=float(row["mean"]),
            std=float(row["std"]) if row["std"] else None,
            seeds=_whole(row["seeds"]),
            metric=row["metric"],
            source=row["source"],
        )
        for row in _rows("published_mujoco.csv")
    ]
    atari = [
        Published(
            algo=row["algo"] + ("+vine" if row["sampler"] == "vine" else ""),
            env=row["game"],
            version="",
            steps=_whole(row["agent_steps"]),
            mean=float(row["score"]),
            std=None,
            seeds=_seeds(row["source"]),
            metric="game score",
            source=row["source"],
        )
        for row in _rows("published_atari.csv")
    ]
    return (*mujoco, *atari)


def of_env(env: str) -> list[Published]:
    """Everything published about a task, of any version."""
    name, _ = task_and_version(env)
    return [entry for entry in published() if entry.env == name]


def absent(env: str, rules: Mapping[str, int]) -> list[str]:
    """What a reader looks for in vain who asked for published numbers. rules: with the steps that
    runs of each made on this environment."""
    notes = []
    known = {rule: [x for x in of_env(env) if x.algo == rule] for rule in rules}
    without = [rule for rule, found in known.items() if not found]
    if without:
        notes.append(f"Nothing is published of {listed(without)} on {env} that this package knows.")
    for rule, found in known.items():
        steps = sorted({x.steps for x in found if x.steps is not None})
        if found and rules[rule] not in steps:
            where = listed([f"{n:,}" for n in steps])
            notes.append(
                f"Published numbers of {rule} on {env} are of {where} steps and these runs made "
                f"{rules[rule]:,}: they stand in the table and not beside the curves."
            )
    return notes


def caveat(entry: Published, env: str, steps: int) -> str:
    """Why a number does not stand beside runs on `env` of `steps` steps without more ado."""
    reasons = []
    _, version = task_and_version(env)
    if entry.version and version not in entry.version.split("/"):
        reasons.append(f"{entry.version}, not {version}")
    if entry.steps is None:
        reasons.append("steps not stated")
    elif entry.steps != steps:
        reasons.append(f"{entry.steps:,} steps, not {steps:,}")
    if "max over" in entry.metric or "best" in entry.metric:
        reasons.append("best during training, not at the end")
    return "; ".join(reasons)


def highest(
    env: str,
    algo: str,
    steps: int,
    deterministic: bool | None = None,
    versions: Collection[str] | None = None,
) -> Published | None:
    """The highest number of a rule on a task after just as many steps, None without any.

    deterministic: only of the most likely actions, or only of others (sampled, or the source does
    not say). versions: of the task; all of them by default.
    """
    found = [x for x in of_env(env) if (x.algo, x.steps) == (algo, steps)]
    found = [x for x in found if deterministic in (None, x.deterministic)]
    if versions is not None:
        found = [x for x in found if set(x.version.split("/")) <= set(versions)]
    return max(found, key=lambda x: x.mean, default=None)


def reference(env: str, who: str) -> float | None:
    """The score of a random player or of a human on an Atari game, None where there is none."""
    found = [entry.mean for entry in of_env(env) if entry.algo == who]
    return found[0] if found else None


def _rows(name: str) -> list[dict[str, Any]]:
    text = (files("trpo_cli.compare") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _seeds(source: str) -> int | None:
    found = re.search(r"\((\d+|one)\s+(?:seeds|run)", source)
    return (1 if found[1] == "one" else int(found[1])) if found else None
