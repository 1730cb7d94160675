"""The numbers as tables: performance, differences, what holds across environments."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trpo_cli.compare.results import Comparison, Crossing, EnvResult
from trpo_cli.compare.side_tables import importance, published_table, settings, updates
from trpo_cli.compare.sweep_table import SweepTable
from trpo_cli.compare.table import Cell, Table, bounds, numbers, spread
from trpo_cli.compare.verdict import number, p_value


def all_tables(comparison: Comparison, sweeps: Sequence[SweepTable], against: bool) -> list[Table]:
    found = [performance(comparison), pairs(comparison), improvement(comparison)]
    found += [aggregate(comparison)] if comparison.aggregate else []
    found += [updates(comparison)]
    for sweep in sweeps:
        found += [settings(sweep), importance(sweep)]
    found += [published_table(comparison)] if against else []
    return [table for table in found if table.raw]


def performance(c: Comparison) -> Table:
    raw: list[list[Cell]] = []
    shown = []
    for e in c.envs:
        for g in e.groups:
            raw.append([
                e.env, g.label, g.final.n, *numbers(g.final), *numbers(g.best),
                *numbers(g.area), e.threshold, g.steps.reached, g.steps.median,
                g.seconds.median, " ".join(f"{v:.6g}" for v in g.finals),
                " ".join(str(r.seed) for r in g.cell.runs),
            ])  # fmt: skip
            shown.append([
                e.env, g.label, str(g.final.n), spread(g.final), bounds(g.final), spread(g.best),
                spread(g.area), crossing(g.steps, e, "steps"), crossing(g.seconds, e, "s"),
                ", ".join(number(v) for v in g.finals),
            ])  # fmt: skip
    kinds = ("final", "best", "area")
    columns = [f"{k}_{what}" for k in kinds for what in ("mean", "std", "low", "high")]
    thresholds = "; ".join(f"{e.env} {number(e.threshold)}" for e in c.envs)
    return Table(
        "performance",
        "Performance",
        f"Mean ± standard deviation over runs, 95% Student interval. Final: {c.protocol.final}. "
        f"Best: {c.protocol.best}. Area: mean height of the curve of {c.options.curve} over the "
        f"{c.options.axis} all groups share. To threshold ({thresholds}): median "
        "over all runs, with how many got there; one that did not counts as later than its end "
        "(Kaplan-Meier) in steps, as never in seconds.",
        ["Environment", "Group", "Runs", "Final", "95% interval", "Best", "Area",
         "Steps to threshold", "Seconds to threshold", "Each run's final"],
        shown,
        ["env", "group", "runs", *columns, "threshold", "reached", "steps_median",
         "seconds_median", "finals", "seeds"],
        raw,
    )  # fmt: skip


def crossing(found: Crossing, env: EnvResult, unit: str) -> str:
    got = f"{found.reached} of {found.runs}"
    if math.isfinite(found.median):
        return f"{number(found.median)} ({got})"
    return f"> {env.steps:,} ({got})" if unit == "steps" else f"not reached ({got})"


def pairs(c: Comparison) -> Table:
    raw: list[list[Cell]] = [
        [p.env, p.a, p.b, p.difference.value, p.difference.low, p.difference.high,
         p.difference.p, p.p, p.p_permutation, p.detectable]
        for p in c.pairs
    ]  # fmt: skip
    shown = [
        [p.env, p.a, p.b, number(p.difference.value),
         f"{number(p.difference.low)} to {number(p.difference.high)}",
         p_value(p.difference.p), p_value(p.p) + (" **" if p.clear else " *" if p.likely else ""),
         p_value(p.p_permutation), number(p.detectable)]
        for p in c.pairs
    ]  # fmt: skip
    return Table(
        "pairs",
        "Differences of final performance",
        "First minus second, Welch's 95% interval and p; adjusted: Holm over all rows, * at most "
        "0.05. The permutation test asks whether the runs could come from one distribution, "
        "without assuming normality; with 3 + 3 runs it cannot go below 0.1. **: it is at most "
        "0.05 as well. Detectable: the difference that a test at 0.05 divided by the number of "
        "rows finds with probability 80%, with this many runs of this spread.",
        ["Environment", "First", "Second", "Difference", "95% interval", "p (Welch)",
         "p adjusted", "p (permutation)", "Detectable"],
        shown,
        ["env", "a", "b", "difference", "low", "high", "p_welch", "p_holm", "p_permutation",
         "detectable"],
        raw,
    )  # fmt: skip


def improvement(c: Comparison) -> Table:
    return Table(
        "improvement",
        "Probability of improvement",
        "How likely a run of the first exceeds a run of the second, ties half, averaged over "
        "environments; Newcombe's 95% score interval.",
        ["First", "Second", "Environments", "Fewest runs", "P(first > second)", "95% interval"],
        [
            [i.a, i.b, str(i.envs), str(i.probability.n), f"{i.probability.value:.2f}",
             f"{i.probability.low:.2f} to {i.probability.high:.2f}"]
            for i in c.improvements
        ],
        ["a", "b", "envs", "fewest_runs", "probability", "low", "high"],
        [
            [i.a, i.b, i.envs, i.probability.n, i.probability.value, i.probability.low,
             i.probability.high]
            for i in c.improvements
        ],
    )  # fmt: skip


def aggregate(c: Comparison) -> Table:
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
        ["Group", "Fewest runs", "Interquartile mean", "95% interval"],
        [[label, str(i.n), f"{i.value:.2f}", bounds(i, ".2f")]
         for label, i in c.aggregate.items()],
        ["group", "fewest_runs", "iqm", "low", "high"],
        [[label, i.n, i.value, i.low, i.high] for label, i in c.aggregate.items()],
    )  # fmt: skip
