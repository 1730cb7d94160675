"""Who comes first: the groups of each environment ranked, and one sentence of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trpo_cli.compare.results import Comparison, EnvResult, GroupResult, Pair
from trpo_cli.compare.wording import listed, runs, spread

FEW_RUNS = 5
"""Below this many runs a group's interval leans on normality, and its curve has no band."""

MOST = 3
"""Names in one list of a headline."""


@dataclass(frozen=True)
class Rank:
    """A group's place on its environment, shared by equal means. below: the pairs with the groups
    of a lower mean; ahead: the labels that it is ahead of if runs vary normally."""

    place: int
    group: GroupResult
    below: list[tuple[str, Pair]]

    @property
    def ahead(self) -> list[str]:
        return [label for label, pair in self.below if pair.likely]

    @property
    def ahead_in_words(self) -> str:
        """A star where the permutation test does not agree."""
        found = [label + ("" if pair.clear else "*") for label, pair in self.below if pair.likely]
        if len(found) > 2 and len(found) == len(self.below) and self.place == 1:
            return "all others" + ("" if all(pair.clear for _, pair in self.below) else "*")
        return ", ".join(found) or "none"


def ranking(c: Comparison, env: EnvResult) -> list[Rank]:
    """The groups of an environment, the highest mean first."""
    pairs = {frozenset((p.a, p.b)): p for p in c.pairs if p.env == env.env}
    ranked = sorted(env.groups, key=lambda g: -g.final.value)
    found = []
    for group in ranked:
        lower = [g.label for g in ranked if g.final.value < group.final.value]
        place = 1 + sum(g.final.value > group.final.value for g in ranked)
        found.append(Rank(place, group, [(x, pairs[frozenset((group.label, x))]) for x in lower]))
    return found


def headline(c: Comparison) -> str:
    """One sentence: who leads where, and where that lead is more than chance."""
    ranked = {env.env: ranking(c, env) for env in c.envs}
    if len(ranked) == 1:
        ((env, ranks),) = ranked.items()
        return of_one(env, ranks)
    if len(c.labels) == 1:
        return f"There is only {c.labels[0]}, on {len(ranked)} environments: nothing to compare."
    first: dict[str, list[str]] = {}
    for env, ranks in ranked.items():
        first.setdefault(ranks[0].group.label, []).append(env)
    everywhere = "both environments" if len(ranked) == 2 else f"all {len(ranked)} environments"
    head = "Highest mean: " + "; ".join(f"{who} on {listed(envs)}" for who, envs in first.items())
    if len(first) == 1:
        head = f"{next(iter(first))} has the highest mean on {everywhere}"
    settled = [env for env, ranks in ranked.items() if is_settled(ranks)]
    if not settled:
        return f"{head}; nowhere ahead of every other group."
    where = everywhere if len(settled) == len(ranked) else f"{listed(settled)} only"
    return f"{head}; ahead of every other group on {where}."


def of_one(env: str, ranks: Sequence[Rank]) -> str:
    best, level = ranks[0], [r.group.label for r in ranks if r.place == 1]
    label, amount = best.group.label, spread(best.group.final)
    open_ = [other for other, pair in best.below if not pair.likely]
    if len(ranks) == 1:
        return f"{label} ends at {amount} on {env}; there is nothing to compare it with."
    if len(level) > 1:
        rest = f", ahead of {some(best.ahead)}" if best.ahead else ""
        return f"{some(level)} share the highest mean on {env}, {amount}{rest}."
    if not open_:
        return f"{label} is ahead of {some(best.ahead)} on {env}: {amount}."
    head = f"{label} has the highest mean on {env}, {amount}"
    if best.ahead:
        return f"{head}: ahead of {some(best.ahead)}, not to be told from {some(open_)}."
    return f"{head}, and cannot be told from {some(open_)}."


def some(labels: Sequence[str]) -> str:
    """A sentence has room for three names."""
    if len(labels) <= MOST:
        return listed(labels)
    return f"{', '.join(labels[: MOST - 1])} and {len(labels) - MOST + 1} others"


def is_settled(ranks: Sequence[Rank]) -> bool:
    """Whether one group is ahead of every other."""
    return len(ranks) > 1 and len(ranks[0].ahead) == len(ranks) - 1


def caution(c: Comparison) -> str:
    """What a reader of the ranking must know of few runs, and of other tools'; empty with enough of
    ours."""
    words = ""
    if c.fewest < FEW_RUNS:
        words = (
            f"As few as {runs(c.fewest)} in a group: below {FEW_RUNS} only very large differences "
            "can be found, and intervals lean on normality."
        )
        if c.fewest == 1:
            words += " A single run says nothing about the spread."
        if any(pair.likely and not pair.clear for pair in c.pairs):
            words += " * ahead if runs vary normally, which so few cannot show."
    others = list(dict.fromkeys(g.label for e in c.envs for g in e.groups if g.group.tool))
    if others:
        words += (
            f" Runs of other tools ({some(others)}): their versions and settings are not known, "
            "and final evaluations have no part; the notes say what was assumed."
        )
    return words.strip()
