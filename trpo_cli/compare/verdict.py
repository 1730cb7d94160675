"""One paragraph in words: who leads where, how sure, with how many runs, and what is open."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trpo_cli.compare.power import in_words
from trpo_cli.compare.ranking import MOST, caution, ranking
from trpo_cli.compare.results import Comparison, EnvResult, Pair
from trpo_cli.compare.statistics import Interval
from trpo_cli.compare.wording import listed, number, p_value, runs, spread


def verdict(comparison: Comparison) -> str:
    """The paragraph, and what few runs leave open."""
    words, warning = reasoning(comparison), caution(comparison)
    if warning:
        words.append(f"Warning: {warning[0].lower()}{warning[1:]}")
    return " ".join(words)


def reasoning(comparison: Comparison) -> list[str]:
    """A sentence each. A group is said to be ahead only where Welch's test with Holm's correction
    over every pair on every environment says so and the permutation test agrees, to be ahead "if
    runs are normal" where the latter has too few runs to agree; everything else is open."""
    sentences = [f"{on_env(comparison, e)}{more_runs(comparison, e)}" for e in comparison.envs]
    return [*sentences, *overall(comparison), *sureness(comparison)]


def on_env(comparison: Comparison, env: EnvResult) -> str:
    ranks = ranking(comparison, env)
    best = ranks[0]
    final, label = best.group.final, best.group.label
    level = [r.group.label for r in ranks if r.place == 1]
    if len(ranks) == 1:
        return f"On {env.env} there is only {label}: {amount(final)}; nothing to compare it with."
    clear = [(other, p) for other, p in best.below if p.clear]
    likely = [(other, p) for other, p in best.below if p.likely and not p.clear]
    open_ = [(other, p) for other, p in best.below if not p.likely]
    head = f"On {env.env} {listed(level)} has the highest mean, {amount(final)}"
    if len(level) > 1:
        head = f"On {env.env} {listed(level)} share the highest mean, {amount(final)} for {label}"
    parts = []
    if clear:
        parts.append(f"is ahead of {listed([gap(label, other, p) for other, p in clear])}")
    if likely:
        parts.append(
            f"is ahead of {listed([gap(label, other, p) for other, p in likely])} if runs vary "
            "normally, which so few cannot show"
        )
    if open_:
        rest = listed([other for other, _ in open_])
        parts.append(f"cannot be told from {rest}{could_have(open_)}")
    return f"; {label if len(level) > 1 else 'it'} ".join([head, *parts]) + "."


def gap(best: str, other: str, pair: Pair) -> str:
    sign = 1.0 if pair.a == best else -1.0
    low, high = sorted((sign * pair.difference.low, sign * pair.difference.high))
    return (
        f"{other} by {number(sign * pair.difference.value)} "
        f"(95% interval {number(low)} to {number(high)}, adjusted p {p_value(pair.p, '= ')})"
    )


def could_have(behind: Sequence[tuple[object, Pair]]) -> str:
    found = [p.detectable for _, p in behind if math.isfinite(p.detectable) and p.detectable > 0]
    if not found:
        return ""
    low, high = number(min(found)), number(max(found))
    size = f"of {low}" if low == high else f"of {low} to {high}, depending on the pair,"
    return f" (a difference {size} would have been found with probability 80%)"


def more_runs(comparison: Comparison, env: EnvResult) -> str:
    """Sentences on the groups that cannot be told from the best: how many runs it would take."""
    best = ranking(comparison, env)[0]
    found = [
        f" For {best.group.label} and {other} {words}."
        for other, pair in best.below
        if not pair.likely and (words := in_words(pair.needed))
    ]
    return "".join(found[:MOST])


def overall(comparison: Comparison) -> list[str]:
    if len(comparison.labels) < 2:
        return []
    found = []
    shared = len([e for e in comparison.envs if len(e.groups) == len(comparison.labels)])
    if shared > 1 and comparison.aggregate:
        ranked = sorted(comparison.aggregate.items(), key=lambda item: -item[1].value)
        named = ", ".join(f"{label} {interval(i, '.2f')}" for label, i in ranked)
        found.append(
            f"Interquartile mean of normalised scores over {shared} environments: {named}."
        )
    sided = sorted(comparison.improvements, key=lambda i: -abs(i.probability.value - 0.5))
    best = next(iter(sided), None)
    if best is not None and len(comparison.envs) > 1:
        p, a, b = best.probability, best.a, best.b
        if p.value < 0.5:
            a, b = b, a
            p = Interval(p.n, 1.0 - p.value, p.std, 1.0 - p.high, 1.0 - p.low)
        if p.low <= 0.5:
            return [*found, "No pair has a probability of improvement clear of one half."]
        found.append(
            f"The most one-sided pair: a run of {a} exceeds one of {b} with probability "
            f"{interval(p, '.2f')}."
        )
    return found


def sureness(comparison: Comparison) -> list[str]:
    tests = sum(not math.isnan(p.p) for p in comparison.pairs)
    found = [f"Numbers are the {comparison.protocol.final}; intervals are over runs."]
    if tests > 1:
        found.append(f"p-values are corrected for {tests} comparisons (Holm).")
    return found


def amount(i: Interval) -> str:
    return f"{spread(i)} over {runs(i.n)}"


def interval(i: Interval, form: str) -> str:
    if math.isnan(i.low):
        return format(i.value, form)
    return f"{i.value:{form}} ({i.low:{form}} to {i.high:{form}})"
