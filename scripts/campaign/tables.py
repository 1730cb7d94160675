"""Tables and sentences of the results' pages, made of stored runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from campaign.cells import changes, tuned
from trpo_cli.compare.analyse import analyse
from trpo_cli.compare.groups import make_groups, natural
from trpo_cli.compare.published import Published, caveat, highest
from trpo_cli.compare.results import Comparison, Options
from trpo_cli.compare.statistics import Interval, mean_interval
from trpo_cli.compare.verdict import on_env, overall, sureness
from trpo_cli.compare.wording import listed, number, plus_minus
from trpo_cli.env_ids import task_and_version
from trpo_cli.reference.runs import as_run
from trpo_cli.reference.store import Result, Trial

CLEAR, HIGHER, EQUAL = "▲", "△", "="
"""Behind a mean whose interval lies above the published number, one whose interval does not, and
one that is the same number."""
ALIKE = ({"", "v2", "v3", "v4"}, {"v5"})
"""Versions of tasks whose numbers are held against each other. v5 has other rewards and ends."""
NOTHING = "Nothing is stored of these runs yet: `make reference` makes them.\n"


@dataclass(frozen=True)
class Row:
    """The runs of one cell. changes: from the defaults, as trpo-run takes them."""

    env: str
    rule: str
    changes: str
    runs: Sequence[Result]

    @property
    def is_tuned(self) -> bool:
        """Whether its settings are those of tuned=mujoco, and not the defaults."""
        first = self.runs[0]
        return bool(self.changes) and self.changes == tuned(first.algo, first.sampler, self.env)

    @property
    def sampled(self) -> Interval:
        return mean_interval([r.sampled.mean for r in self.runs])

    @property
    def deterministic(self) -> Interval:
        return mean_interval([r.deterministic.mean for r in self.runs])


def rows_of(results: Iterable[Result]) -> list[Row]:
    """One for each environment, rule and setting: the defaults first."""
    found: dict[tuple[str, str, str], list[Result]] = {}
    for r in results:
        key = (r.env, r.rule, changes(r.algo, r.sampler, r.env, r.settings))
        found.setdefault(key, []).append(r)
    rows = [Row(*key, runs) for key, runs in found.items()]
    return sorted(rows, key=lambda row: (natural(row.env), natural(row.rule), row.changes))


def defaults_only(results: Iterable[Result]) -> list[Result]:
    return [r for row in rows_of(results) if not row.changes for r in row.runs]


def offered(results: Iterable[Result]) -> list[Result]:
    """With what this version offers: the defaults and tuned=mujoco."""
    return [r for row in rows_of(results) if not row.changes or row.is_tuned for r in row.runs]


def others(results: Iterable[Result]) -> list[Result]:
    """With settings of their own, such as defaults that were given up."""
    return [r for row in rows_of(results) if row.changes and not row.is_tuned for r in row.runs]


class Sources:
    """Numbers of footnotes, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._known: list[str] = []

    def note(self, entry: Published, env: str, steps: int) -> str:
        beside = caveat(entry, env, steps)
        seeds = "" if entry.seeds is None else f"{entry.seeds} seed{'s' * (entry.seeds != 1)}"
        words = "; ".join(filter(None, (entry.source, entry.metric, seeds, beside)))
        if words not in self._known:
            self._known.append(words)
        return f" ({self._known.index(words) + 1})"

    def listed(self) -> str:
        return "".join(f"{i}. {words}.\n" for i, words in enumerate(self._known, 1))


def cells(results: Sequence[Result]) -> str:
    """The table of cells with the published numbers of their protocol, and where those are from."""
    if not results:
        return NOTHING
    sources, lines, before = Sources(), list[str](), ""
    lines.append("| task | rule | runs | sampled | published | most likely | published |")
    lines.append("|---|---|---|---|---|---|---|")
    settings = list[str]()
    for row in rows_of(results):
        name = row.rule
        if row.changes:
            if row.changes not in settings:
                settings.append(row.changes)
            name += f"{', tuned' * row.is_tuned} [{letter(settings.index(row.changes))}]"
        env = "" if row.env == before else row.env
        before = row.env
        pairs = [
            side
            for interval, kind in ((row.sampled, False), (row.deterministic, True))
            for side in beside(row, interval, kind, sources)
        ]
        lines.append("| " + " | ".join([env, name, str(len(row.runs)), *pairs]) + " |")
    text = "\n".join(lines) + "\n"
    if settings:
        named = (f"- [{letter(i)}] `{words}`\n" for i, words in enumerate(settings))
        text += "\nSettings other than the defaults:\n\n" + "".join(named)
    return text + (f"\nPublished:\n\n{sources.listed()}" if sources.listed() else "")


def beside(row: Row, ours: Interval, deterministic: bool, sources: Sources) -> tuple[str, str]:
    """A mean with its interval and its mark, and the published number that it is held against."""
    steps = row.runs[0].total_steps
    versions = next((v for v in ALIKE if task_and_version(row.env)[1] in v), {""})
    entry = highest(row.env, row.rule, steps, deterministic, versions)
    text = f"{plus_minus(ours.value, ours.std)}{bracket(ours)}"
    if entry is None:
        return text, ""
    mark = ""
    if ours.value == entry.mean:
        mark = f" {EQUAL}"
    elif ours.value > entry.mean:
        mark = f" {CLEAR if ours.low > entry.mean else HIGHER}"
    return text + mark, plus_minus(entry.mean, entry.std) + sources.note(entry, row.env, steps)


def bracket(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else f" [{number(interval.low)}, {number(interval.high)}]"


def letter(place: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return (letter(place // 26 - 1) if place >= 26 else "") + chr(ord("a") + place % 26)


def compared(results: Sequence[Result]) -> Comparison:
    """The defaults, as `trpo-compare` analyses them."""
    runs = [as_run(r) for r in defaults_only(results)]
    return analyse(make_groups(runs), Options("steps", None, {}, "range"), [])


def verdicts(results: Sequence[Result]) -> str:
    """A sentence for each task, and those over all of them."""
    if not defaults_only(results):
        return NOTHING
    comparison = compared(results)
    sentences = [on_env(comparison, env) for env in comparison.envs]
    rest = " ".join([*overall(comparison), *sureness(comparison)])
    return "".join(f"- {sentence}\n" for sentence in sentences) + f"\n{rest}\n"


def bounds(results: Sequence[Result]) -> str:
    """What the updates of the rules with a bound did."""
    bounded = [r for r in results if r.kl_share is not None]
    if not bounded:
        return NOTHING
    lines = ["| rule | runs | updates | largest KL / bound | normaliser's KL, first | later |"]
    lines.append("|---|---|---|---|---|---|")
    for rule in sorted({r.rule for r in bounded}, key=natural):
        mine = [r for r in bounded if r.rule == rule]
        shifts = [r.normalizer_kl for r in mine if r.normalizer_kl is not None]
        first, later = (f"{max(s[i] for s in shifts):.1e}" if shifts else "" for i in (0, 1))
        largest = max(r.kl_share for r in mine if r.kl_share is not None)
        updates = sum(r.updates for r in mine)
        lines.append(f"| {rule} | {len(mine)} | {updates:,} | {largest:.6f} | {first} | {later} |")
    return "\n".join(lines) + "\n"


def cost(results: Sequence[Result]) -> str:
    """Hours of cores and of the clock, and what ran."""
    if not results:
        return NOTHING
    spent = sum(r.seconds if r.cpu_seconds is None else r.cpu_seconds for r in results) / 3600
    unmeasured = sum(r.cpu_seconds is None for r in results)
    clock = sum(r.seconds for r in results) / 3600
    commits = sorted({r.commit for r in results if r.commit})
    libraries = [
        f"{name} {listed(versions)}"
        for name in ("mujoco", "gymnasium", "numpy")
        if (versions := sorted({r.versions[name] for r in results if name in r.versions}))
    ]
    lines = [
        f"- {len(results)} runs, {sum(r.total_steps for r in results) / 1e6:,.4g} million steps",
        f"- {spent:,.1f} core hours, training and evaluation"
        + (f"; of {unmeasured} runs the clock of their training" if unmeasured else ""),
        f"- {clock:,.1f} hours by the trainings' clocks, one thread each",
        f"- {listed(sorted({r.cpu for r in results if r.cpu}))}; {listed(libraries)}",
        f"- {'commits' if len(commits) > 1 else 'commit'} {listed(commits) or 'unknown'}",
    ]
    return "\n".join(lines) + "\n"


def short(results: Sequence[Result]) -> str:
    """Tasks against rules: mean and deviation of the last policies, sampled actions."""
    rows = [row for row in rows_of(results) if not row.changes]
    if not rows:
        return NOTHING
    rules = sorted({row.rule for row in rows}, key=natural)
    found: Mapping[tuple[str, str], Row] = {(row.env, row.rule): row for row in rows}
    lines = ["| | " + " | ".join(rules) + " |", "|---" * (len(rules) + 1) + "|"]
    for env in dict.fromkeys(row.env for row in rows):
        here = [found.get((env, rule)) for rule in rules]
        said = [
            "" if row is None else plus_minus(row.sampled.value, row.sampled.std) for row in here
        ]
        lines.append(f"| {env} | " + " | ".join(said) + " |")
    counts = sorted({len(row.runs) for row in rows})
    seeds = f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    return "\n".join(lines) + f"\n\nMean ± standard deviation over {seeds}.\n"


def trials(found: Sequence[Trial]) -> str:
    """Settings against tasks: mean return of the last policies, and how many runs. The best of a
    task stands in bold."""
    if not found:
        return "No trial is stored yet.\n"
    envs = sorted({t.env for t in found}, key=natural)
    means: dict[tuple[str, int, str], dict[str, list[float]]] = {}
    for t in found:
        by_env = means.setdefault((t.rule, t.total_steps, t.changes), {})
        by_env.setdefault(t.env, []).append(t.final)
    lines = [
        "| rule | steps | settings | " + " | ".join(envs) + " |",
        "|---" * (len(envs) + 3) + "|",
    ]
    for key in sorted(means, key=lambda key: (natural(key[0]), key[1:])):
        rule, steps, changes = key
        alike = [by_env for other, by_env in means.items() if other[:2] == key[:2]]
        said = []
        for env in envs:
            finals = means[key].get(env, [])
            best = max((_mean(by_env[env]) for by_env in alike if env in by_env), default=math.nan)
            text = f"{number(_mean(finals))} ({len(finals)})" if finals else ""
            said.append(f"**{text}**" if finals and _mean(finals) == best else text)
        lines.append(f"| {rule} | {steps:,} | {f'`{changes}`' if changes else 'defaults'} | "
                     + " | ".join(said) + " |")  # fmt: skip
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
