"""Which tables there are: performance, differences, updates, settings of a sweep, published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

from trpo_cli.compare import published
from trpo_cli.compare.formats import Column, Table, interval
from trpo_cli.compare.groups import rule_of
from trpo_cli.compare.ranking import ranking
from trpo_cli.compare.results import Comparison, Crossing, Pair
from trpo_cli.compare.statistics import ALPHA
from trpo_cli.compare.sweep import Sweep
from trpo_cli.compare.sweep_tables import importance, settings
from trpo_cli.compare.wording import bounds, formatted, number, p_value, plus_minus, spread

UPDATES = (
    ("kl", "KL", ".2g"),
    ("kl_used", "Allowed KL used", ".0%"),
    ("kl_largest", "Largest", ".1%"),
    ("over_bound", "Far over it", ".0%"),
    ("kl_model", "KL / model", ".2f"),
    ("improvement_model", "Gain / model", ".2f"),
    ("rejected", "Rejected", ".1%"),
    ("backtracks", "Backtracks", ".2f"),
    ("held_out_share", "Held out", ".1%"),
    ("clip_fraction", "Clipped", ".1%"),
    ("explained_variance", "Explained variance", ".2f"),
)
"""Fields of `Summary`, their titles and how they are written."""


def all_tables(comparison: Comparison, sweeps: Sequence[Sweep], against: bool) -> list[Table]:
    """Those that have rows. against: with the published numbers."""
    found = [
        ranked(comparison),
        performance(comparison),
        pairs(comparison),
        improvement(comparison),
    ]
    found += [aggregate(comparison), updates(comparison)]
    for sweep in sweeps:
        found += [settings(sweep), importance(sweep)]
    found += [published_numbers(comparison)] if against else []
    return [table for table in found if table.rows]


def ranked(c: Comparison, *more: Column) -> Table:
    """The first thing to read: who comes first, and what each is ahead of."""
    return Table(
        "ranking",
        "Ranking by final return",
        f"Mean ± standard deviation over runs of the {c.protocol.final}, with its 95% Student "
        "interval. Ahead of: the groups that Welch's test tells from it, after Holm's correction "
        "over all pairs.",
        [
            Column("env", "Environment", lambda r: r.group.env),
            Column("place", "Rank", lambda r: r.place),
            Column("group", "Group", lambda r: r.group.label),
            Column("final", "Final return", lambda r: r.group.final, spread),
            Column("", "95% interval", lambda r: r.group.final, bounds),
            Column("ahead", "Ahead of", lambda r: r.ahead_in_words),
            Column("runs", "Runs", lambda r: r.group.final.n),
            *more,
            Column("finals", "Each run's final", lambda r: r.group.finals),
        ],
        [r for e in c.envs for r in ranking(c, e)],
        part="env",
        leads=lambda r: r.place == 1,
    )


def for_terminal(c: Comparison) -> Table:
    """The ranking with a column more."""
    return ranked(c, Column("", "Steps to threshold", lambda r: r.group.steps, later))


def crossing(found: Crossing, otherwise: str) -> str:
    if not found.runs:
        return "-"
    when = number(found.median) if math.isfinite(found.median) else otherwise
    return f"{when} ({found.reached} of {found.runs})"


def later(found: Crossing) -> str:
    return crossing(found, f"> {found.end:,.0f}")


def never(found: Crossing) -> str:
    return crossing(found, "not reached")


def performance(c: Comparison) -> Table:
    envs = {e.env: e for e in c.envs}
    thresholds = "; ".join(f"{e.env} {number(e.threshold)}" for e in c.envs)
    return Table(
        "performance",
        "Performance",
        f"Mean ± standard deviation over runs. Final: {c.protocol.final}. "
        f"Best: {c.protocol.best}. Area: mean height of the curve of returns over the "
        f"{c.options.axis} all groups share. To threshold ({thresholds}): the first point of that "
        "curve at or above it, median over all runs, with how many got there; one that did not "
        "counts as later than its end (Kaplan-Meier) in steps, as never in seconds. Curve of "
        f"returns: {c.in_words(lambda e: e.returns.words)}.",
        [
            Column("env", "Environment", lambda g: g.env),
            Column("group", "Group", lambda g: g.label),
            Column("runs", "Runs", lambda g: g.final.n),
            Column("final", "Final", lambda g: g.final, spread),
            Column("best", "Best", lambda g: g.best, spread),
            Column("area", "Area", lambda g: g.area, spread),
            Column("threshold", "", lambda g: envs[g.env].threshold),
            Column("reached", "", lambda g: g.steps.reached),
            Column("steps_median", "", lambda g: g.steps.median),
            Column("", "Steps to threshold", lambda g: g.steps, later),
            Column("seconds_median", "", lambda g: g.seconds.median),
            Column("", "Seconds to threshold", lambda g: g.seconds, never),
            Column("finals", "", lambda g: g.finals),
            Column("seeds", "", lambda g: " ".join(str(run.seed) for run in g.group.runs)),
        ],
        [g for e in c.envs for g in e.groups],
        part="env",
    )


def about_tests(pairs: Sequence[Pair]) -> str:
    """What stands in the table of pairs; of tests only where there are enough runs for one."""
    tested = [p for p in pairs if not math.isnan(p.p)]
    if not tested:
        return "First minus second. A test of a difference takes two runs a group at least."
    words = (
        "First minus second, Welch's 95% interval and p; adjusted: Holm over all rows, * at most "
        "0.05. The permutation test asks whether the runs could come from one distribution, "
        "without assuming normality; **: it is at most 0.05 as well. "
    )
    lowest = max(p.least for p in tested)
    if lowest > ALPHA:
        words += f"With so few runs it cannot go below {lowest:.2g}. "
    return words + (
        "Detectable: the difference that a test at 0.05 divided by the number of rows finds with "
        "probability 80%, with this many runs of this spread."
    )


def pairs(c: Comparison) -> Table:
    def adjusted(p: Pair) -> str:
        return p_value(p.p) + (" **" if p.clear else " *" if p.likely else "")

    return Table(
        "pairs",
        "Differences of final performance",
        about_tests(c.pairs),
        [
            Column("env", "Environment", lambda p: p.env),
            Column("a", "First", lambda p: p.a),
            Column("b", "Second", lambda p: p.b),
            Column("difference", "Difference", lambda p: p.difference.value),
            *interval(lambda p: p.difference),
            Column("p_welch", "p (Welch)", lambda p: p.difference.p, p_value),
            Column("p_holm", "", lambda p: p.p),
            Column("", "p adjusted", lambda p: p, adjusted),
            Column("p_permutation", "p (permutation)", lambda p: p.p_permutation, p_value),
            Column("detectable", "Detectable", lambda p: p.detectable),
        ],
        c.pairs,
        part="env",
    )


def improvement(c: Comparison) -> Table:
    two_digits = formatted(".2f")
    return Table(
        "improvement",
        "Probability of improvement",
        "How likely a run of the first exceeds a run of the second, ties half, averaged over "
        "environments; Newcombe's 95% score interval.",
        [
            Column("a", "First", lambda i: i.a),
            Column("b", "Second", lambda i: i.b),
            Column("envs", "Environments", lambda i: i.envs),
            Column("fewest_runs", "Fewest runs", lambda i: i.probability.n),
            Column("probability", "P(first > second)", lambda i: i.probability.value, two_digits),
            *interval(lambda i: i.probability, two_digits),
        ],
        c.improvements,
    )


def aggregate(c: Comparison) -> Table:
    two_digits = formatted(".2f")
    scales = "; ".join(
        f"{e.env}: {number(e.scale.low)} to {number(e.scale.high)}, {e.scale.words}"
        for e in c.envs
        if e.scale is not None
    )
    return Table(
        "aggregate",
        "Interquartile mean across environments",
        "Mean of the middle half of the normalised final scores; 95% interval from a bootstrap of "
        f"runs within environments. Scales: {scales}.",
        [
            Column("group", "Group", lambda row: row[0]),
            Column("fewest_runs", "Fewest runs", lambda row: row[1].n),
            Column("iqm", "Interquartile mean", lambda row: row[1].value, two_digits),
            *interval(lambda row: row[1], two_digits),
        ],
        list(c.aggregate.items()),
    )


def updates(c: Comparison) -> Table:
    return Table(
        "updates",
        "Updates in numbers",
        "All updates of all runs of a group: medians of the KL and of the ratios to what was "
        "allowed or predicted, the largest achieved KL over the allowed one and the share that "
        "exceeds it by more than half, the gain in sample over the expected one, the gain of half "
        "a batch's direction held out as a share of its gain in sample, mean backtracks and clip "
        "fraction, median explained variance of the second half.",
        [
            Column("env", "Environment", lambda g: g.env),
            Column("group", "Group", lambda g: g.label),
            Column("updates", "Updates", lambda g: g.updates.updates),
            *(
                Column(key, title, attrgetter(f"updates.{key}"), formatted(form))
                for key, title, form in UPDATES
            ),
        ],
        [g for e in c.envs for g in e.groups if not g.group.tool],
        part="env",
    )


def published_numbers(c: Comparison) -> Table:
    """What others published of the rules compared, on the same tasks in any version."""
    rows = []
    for e in c.envs:
        rules = {rule_of(g.group.runs[0]).split("+")[0] for g in e.groups}
        found = [x for x in published.of_env(e.env) if x.algo.split("+")[0] in rules]
        rows += [(e, x) for x in sorted(found, key=lambda x: (x.algo, -x.mean))]
    return Table(
        "published",
        "Published numbers",
        "Numbers of others, as they gave them. Other versions of a task, other measures and other "
        "budgets do not compare: what differs from these runs stands beside each. Where nothing "
        "stands there, the protocol may still differ in what the source does not say.",
        [
            Column("env", "Environment", lambda row: row[0].env),
            Column("algo", "Algorithm", lambda row: row[1].algo),
            Column("mean", "", lambda row: row[1].mean),
            Column("std", "", lambda row: row[1].std),
            Column("", "Mean ± std", lambda row: plus_minus(row[1].mean, row[1].std)),
            Column("seeds", "Seeds", lambda row: row[1].seeds),
            Column("version", "Version", lambda row: row[1].version),
            Column("steps", "Steps", lambda row: row[1].steps),
            Column(
                "differs",
                "Differs from these runs",
                lambda row: published.caveat(row[1], row[0].env, row[0].steps),
            ),
            Column("source", "Source", lambda row: row[1].source),
            Column("metric", "Measure", lambda row: row[1].metric),
        ],
        rows,
        part="env",
    )
