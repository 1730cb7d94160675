"""Runs that do not mix: other tasks, budgets or versions, which a comparison refuses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from trpo_cli.compare.groups import KWARGS, apart, differing, grouped, show, used
from trpo_cli.compare.read import Run
from trpo_cli.env_ids import unversioned
from trpo_cli.errors import UserError

ALLOW = ("versions", "steps", "envs")
UNFINISHED = 0.05
"""Part of the steps by which another tool's run may end early: its files count the finished
episodes, and its last batch may go further than ours."""
PROGRAMS = {"env.backend": "warp", "env.vector": "native"}
"""Settings one value of which simulates with another program; the others all take the same one."""


def refuse_mixtures(
    runs: Sequence[Run], allow: Collection[str] = (), by: Collection[str] = ()
) -> list[str]:
    """Raise `UserError` where runs are not of one kind; what was allowed comes back as notes.
    by: keys of `groups.check_keys`; runs that are grouped by what differs are not mixed."""
    checks = {"envs": mixed_tasks, "steps": mixed_budgets, "versions": mixed_versions}
    notes = []
    for name, check in checks.items():
        for problem in check(runs, by):
            if name not in allow:
                raise UserError(
                    f"{problem} Give folders that hold only one of them, or --allow {name} to "
                    "compare them all the same."
                )
            notes.append(problem)
    return notes


def single(runs: Sequence[Run], keys: Iterable[str]) -> Iterable[str]:
    """The keys, with those arguments in place of "kwargs" that differ."""
    for key in keys:
        if key + "." != KWARGS:
            yield key
            continue
        given = [run.config.get(key) or {} for run in runs]
        for name in sorted({name for kwargs in given for name in kwargs}):
            if len({repr(kwargs.get(name)) for kwargs in given}) > 1:
                yield KWARGS + name


def mixed_tasks(runs: Sequence[Run], by: Collection[str]) -> Iterable[str]:
    """Versions of one task, and one id with other arguments, are different tasks."""
    for task, same in grouped(runs, [unversioned(run.env) for run in runs]).items():
        found = grouped(same, [run.env for run in same])
        if len(found) > 1:
            yield f"{task} is there in versions that are different tasks: {examples(found)}."
    for env, same in grouped(runs, [run.env for run in runs]).items():
        atari = any(used(run, "ale-py") for run in same)
        keys = [key for key in differing(same, by) if key.startswith("env.")]
        keys = [key for key in keys if atari or not key.startswith("env.atari.")]
        keys = [key for key in keys if key not in PROGRAMS]
        if keys:
            names = (", ".join(f"{k}={show(run.config.get(k))}" for k in keys) for run in same)
            named = grouped(same, names)
            hint = apart(*single(same, keys))
            yield f"{env} was run with different arguments: {examples(named)}. {hint}"
        for key, other in PROGRAMS.items():
            ours = [run for run in same if not run.tool and key not in by]
            found = grouped(
                ours, [f"{key}={other if run.config.get(key) == other else 'auto'}" for run in ours]
            )
            if len(found) > 1:
                yield f"{env} was simulated by different programs: {examples(found)}. {apart(key)}"


def mixed_budgets(runs: Sequence[Run], by: Collection[str]) -> Iterable[str]:
    if "total_steps" in by:
        return
    for env, same in grouped(runs, [run.env for run in runs]).items():
        ours = [run for run in same if not run.tool]
        found = grouped(ours, [f"{int(run.config['total_steps']):,} steps" for run in ours])
        if len(found) > 1:
            yield (
                f"The runs on {env} have different total_steps: {examples(found)}. "
                f"{apart('total_steps')}"
            )
            continue
        made = [run.reached for run in same]
        if len(ours) < len(same) and min(made) < (1.0 - UNFINISHED) * max(made):
            found = grouped(same, [f"{run.reached:,} steps" for run in same])
            yield f"The runs on {env} made different numbers of steps: {some_of(found)}."


def mixed_versions(runs: Sequence[Run], by: Collection[str]) -> Iterable[str]:
    """Versions that change results: ours, Gymnasium's, and the simulator's that was used. Other
    tools' runs do not tell theirs."""
    runs = [run for run in runs if not run.tool]
    ours = () if "version" in by else ("trpo_cli",)
    for name in (*ours, "gymnasium", "mujoco", "ale-py"):
        users = [run for run in runs if used(run, name)]
        found = grouped(users, [f"{name} {run.versions.get(name)}" for run in users])
        if len(found) > 1:
            yield f"The runs were made with different versions: {examples(found)}."


def some_of(found: Mapping[str, Sequence[Run]]) -> str:
    """Examples of the shortest and the longest."""
    ends = sorted(found.items(), key=lambda item: item[1][0].reached)
    return examples(dict([ends[0], ends[-1]]))


def examples(found: Mapping[str, Sequence[Run]]) -> str:
    return ", ".join(
        f"{what} ({len(group)} run{'s' * (len(group) > 1)}, e.g. {group[0].path})"
        for what, group in found.items()
    )
