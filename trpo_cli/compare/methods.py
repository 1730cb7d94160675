"""What a paper says of how runs were made and compared, in sentences made from their records.

Words between backticks are names of settings, of files and of code.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from trpo_cli.compare.episodes import ROWS
from trpo_cli.compare.groups import BOOKKEEPING, differing, show, used
from trpo_cli.compare.latex import escaped
from trpo_cli.compare.read import Run
from trpo_cli.compare.results import Comparison, GroupResult
from trpo_cli.compare.scores import FINAL_EVALUATION, final_evaluation
from trpo_cli.compare.statistics import ALPHA
from trpo_cli.compare.wording import listed
from trpo_cli.untrusted import markdown

Defaults = Callable[[Run], Mapping[str, Any] | None]

PARTS = ("sampler", "policy", "value", "advantage")
LIBRARIES = {
    "python": "Python",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "gymnasium": "Gymnasium",
    "mujoco": "MuJoCo",
    "ale-py": "the Arcade Learning Environment",
}
TOLD_APART = ("env.id", "total_steps", "algo.name", *(f"{part}.name" for part in PARTS))
"""Settings with a sentence of their own."""
LONGEST = 80
"""Characters of a text from a file."""
SEEDS = 10
"""Seeds that are named one by one."""


def methods(c: Comparison, version: str, defaults: Defaults) -> list[str]:
    """Paragraphs: training, measures, statistics, software and machines, settings.

    version: of this package. defaults: of a run the settings it has where nobody says anything,
    flat; None where that is not known.
    """
    groups = [g for e in c.envs for g in e.groups]
    ours = [g for g in groups if not g.group.tool]
    theirs = list(dict.fromkeys(g.label for g in groups if g.group.tool))
    found = [training(c), measures(c), statistics(c)]
    if ours:
        found += [software([run for g in ours for run in g.group.runs])]
        found += [settings(ours, version, defaults)]
    if theirs:
        found.append(
            f"The runs of {listed([code(label) for label in theirs])} were made with other tools "
            "and read from their files, which tell neither the versions nor the settings; their "
            f"curves are means of the returns over at most {ROWS} stretches of steps."
        )
    return found


def code(text: Any) -> str:
    """A name, or a value, from a file."""
    words = textwrap.shorten(str(text).replace("`", "'"), LONGEST, placeholder="...")
    return f"`{words}`"


def named(labels: Iterable[str]) -> str:
    return listed([code(label) for label in dict.fromkeys(labels)])


def one_or_between(values: Iterable[int]) -> str:
    """5, or between 3 and 5."""
    low, high = min(values := list(values)), max(values)
    return f"{low:,}" if low == high else f"between {low:,} and {high:,}"


def training(c: Comparison) -> str:
    """Which groups on which environments, for how long, how often."""
    places: dict[str, list[str]] = {}
    for e in c.envs:
        steps = one_or_between(run.reached for g in e.groups for run in g.group.runs)
        counts = one_or_between(len(g.group.runs) for g in e.groups)
        each = " of each" if len(e.groups) > 1 else ""
        runs = f"{counts} run{'s' * (counts != '1')}{each}"
        where = f"{code(e.env)} ({steps} environment steps, {runs})"
        places.setdefault(named(g.label for g in e.groups), []).append(where)
    return f"We compare {listed([f'{who} on {listed(w)}' for who, w in places.items()])}{seeds(c)}."


def seeds(c: Comparison) -> str:
    """Named where they are few, and the same everywhere."""
    groups = [g.group.runs for e in c.envs for g in e.groups if not g.group.tool]
    found = {tuple(sorted({run.seed for run in runs}, key=str)) for runs in groups}
    if not found:
        return ""
    same = next(iter(found))
    if len(found) != 1 or None in same or len(same) > SEEDS:
        return ", each run with a seed of its own"
    whose = " those of trpo_cli" if any(g.group.tool for e in c.envs for g in e.groups) else ""
    return f",{whose} with the seed{'s' * (len(same) > 1)} {listed([str(seed) for seed in same])}"


def measures(c: Comparison) -> str:
    runs = [run for e in c.envs for g in e.groups for run in g.group.runs]
    words = f"The performance of a run is the {c.protocol.final}"
    if c.protocol.final == FINAL_EVALUATION:
        lines = [final_evaluation(run) for run in runs]
        episodes = one_or_between(int(line["episodes"]) for line in lines)
        actions = "the most likely action taken" if lines[0]["deterministic"] else "sampled actions"
        words += f": its mean undiscounted return over {episodes} episodes with {actions}"
    return f"{words}. Learning curves show the {c.in_words(lambda e: e.metric.words)}."


def statistics(c: Comparison) -> str:
    level = f"{1.0 - ALPHA:.0%}"
    found = [
        f"We report means and standard deviations over runs with {level} confidence intervals from "
        "Student's t distribution; episodes of one run are never counted as independent."
    ]
    tests = sum(p.p == p.p for p in c.pairs)
    if tests:
        corrected = f", with Holm's correction over all {tests} comparisons" if tests > 1 else ""
        found.append(
            "Groups are compared in pairs on each environment by Welch's t-test of their mean "
            f"performance{corrected}, and by a two-sided permutation test, uncorrected; a "
            f"difference is called clear where both give p ≤ {ALPHA:g}."
        )
    if c.aggregate:
        scales = {e.scale.words for e in c.envs if e.scale is not None}
        found.append(
            "Across environments we report the interquartile mean of normalised scores "
            f"({listed(sorted(scales))}; Agarwal et al., 2021) with {level} intervals from a "
            "bootstrap of the runs within each environment."
        )
    if c.improvements and len(c.envs) > 1:
        found.append(
            "The probability that a run of one group exceeds a run of another is averaged over "
            "environments, with a score interval (Newcombe, 2006)."
        )
    return " ".join(found)


def software(runs: Sequence[Run]) -> str:
    """Versions, each where it was used, and machines."""
    parts = [f"trpo_cli {listed(several(run.manifest.get('version') for run in runs))}"]
    if commits := several(of(run, "git", "commit")[:12] for run in runs):
        dirty = any(
            isinstance(g := run.manifest.get("git"), dict) and g.get("dirty") for run in runs
        )
        changed = ", with changes that were not committed" * dirty
        parts[0] += f" (commit {listed(commits)}{changed})"
    for key, name in LIBRARIES.items():
        users = [run for run in runs if used(run, key)]
        if versions := several(run.versions.get(key) for run in users):
            parts.append(f"{name} {listed(versions)}")
    words = f"Runs were made with {listed(parts)}"
    cpus = several(of(run, "machine", "cpu") for run in runs)
    devices = several(run.manifest.get("device") for run in runs)
    if cpus:
        words += f" on {listed(cpus)}"
    if devices:
        words += f"; networks ran on the {'devices' if len(devices) > 1 else 'device'} "
        words += listed(devices)
    return f"{words}."


def of(run: Run, part: str, key: str) -> str:
    """A text within a mapping of the manifest, empty where there is none."""
    found = run.manifest.get(part)
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def several(values: Iterable[Any]) -> list[str]:
    """The different texts among them, in the order in which they appear."""
    return [code(v) for v in dict.fromkeys(v for v in values if isinstance(v, str) and v)]


def settings(groups: Sequence[GroupResult], version: str, defaults: Defaults) -> str:
    """A sentence for all groups that have the same: on several environments mostly."""
    said: dict[str, list[GroupResult]] = {}
    for g in groups:
        said.setdefault(of_group(g, version, defaults), []).append(g)
    envs = {g.env for g in groups}
    sentences = []
    for words, same in said.items():
        alike = {g.label for g in same}
        all_envs = all({g.env for g in same if g.label == label} == envs for label in alike)
        where = "" if all_envs else f" on {named(g.env for g in same)}"
        sentences.append(f"{named(g.label for g in same)}{where} ran with {words}.")
    return " ".join(sentences)


def of_group(g: GroupResult, version: str, defaults: Defaults) -> str:
    runs, first = g.group.runs, g.group.runs[0]
    parts = {part: first.config.get(f"{part}.name") for part in PARTS}
    made_of = listed([f"`{part}={code(v)[1:-1]}`" for part, v in parts.items() if v])
    usual = defaults(first)
    if usual is None:
        return f"{made_of}; its settings are in the file `config.yaml` of each run"
    mixed = differing(runs)
    changed = [
        f"`{key}={code(show(v))[1:-1]}` instead of {code(show(usual[key]))}"
        for key, v in first.config.items()
        if key in usual and not skipped(key) and key not in mixed and v != usual[key]
    ]
    changed += [
        f"several values of `{key}` ({listed([code(show(v)) for v in values])})"
        for key, values in mixed.items()
        if not skipped(key)
    ]
    rest = f"the defaults of trpo_cli `{version}`"
    if not changed:
        return f"{made_of}, and with {rest}"
    return f"{made_of}, with {listed(changed)}, and otherwise with {rest}"


def skipped(key: str) -> bool:
    return key in TOLD_APART or bool(BOOKKEEPING.match(key))


# Written ----------------------------------------------------------------------------------------


def plain(paragraphs: Sequence[str]) -> str:
    return "\n\n".join(p.replace("`", "") for p in paragraphs) + "\n"


def to_markdown(paragraphs: Sequence[str]) -> str:
    return "\n\n".join(marked(p, markdown, lambda name: f"`{name}`") for p in paragraphs) + "\n"


def to_latex(paragraphs: Sequence[str]) -> str:
    """Needs no package but fontenc."""
    written = (marked(p, in_latex, lambda name: rf"\texttt{{{escaped(name)}}}") for p in paragraphs)
    return "\n\n".join(written) + "\n"


def in_latex(text: str) -> str:
    return escaped(text).replace("{'}", "'").replace("≤", r"$\leq$")


def marked(text: str, words: Callable[[str], str], names: Callable[[str], str]) -> str:
    """Each part of a text in its way: names are between backticks."""
    parts = re.split("`", text)
    return "".join(names(p) if i % 2 else words(p) for i, p in enumerate(parts))
