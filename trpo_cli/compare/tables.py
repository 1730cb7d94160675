"""The numbers as tables: one description of rows for CSV, Markdown and the page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trpo_cli.compare import published
from trpo_cli.compare.analyse import Comparison, Crossing, EnvResult
from trpo_cli.compare.groups import rule_of, show
from trpo_cli.compare.statistics import Interval
from trpo_cli.compare.sweep_table import SweepTable
from trpo_cli.compare.verdict import number, p_value

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """name: of the file. rows: raw values, for CSV. shown: the same in words, for people.
    caption: what a reader must know beside it."""

    name: str
    title: str
    caption: str
    header: list[str]
    shown: list[list[str]]
    raw_header: list[str]
    raw: list[list[Cell]]


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
                e.env, g.label, g.final.n, *_numbers(g.final), *_numbers(g.best),
                *_numbers(g.area), e.threshold, g.steps.reached, g.steps.median,
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


def updates(c: Comparison) -> Table:
    header = ["Environment", "Group", "Updates", "KL", "Allowed KL used", "Far over it",
              "KL / model", "Gain / model", "Rejected", "Backtracks", "CG residual", "Clipped",
              "Explained variance"]  # fmt: skip
    raw: list[list[Cell]] = []
    shown = []
    for e in c.envs:
        for g in e.groups:
            u = g.updates
            values = [
                u.kl,
                u.kl_used,
                u.over_bound,
                u.kl_model,
                u.improvement_model,
                u.rejected,
                u.backtracks,
                u.cg_residual,
                u.clip_fraction,
                u.explained_variance,
            ]
            forms = (".2g", ".0%", ".0%", ".2f", ".2f", ".1%", ".2f", ".1g", ".1%", ".2f")
            raw.append([e.env, g.label, u.updates, *values])
            shown.append(
                [
                    e.env,
                    g.label,
                    f"{u.updates:,}",
                    *(
                        "-" if math.isnan(v) else format(v, f)
                        for v, f in zip(values, forms, strict=True)
                    ),
                ]
            )
    return Table(
        "updates",
        "Updates in numbers",
        "All updates of all runs of a group: medians of the KL and of the ratios to what was "
        "allowed or predicted, the share that exceeds the allowed KL by more than half, mean "
        "backtracks and clip fraction, median explained variance of the second half.",
        header,
        shown,
        ["env", "group", "updates", "kl", "kl_used", "over_bound", "kl_model",
         "improvement_model", "rejected", "backtracks", "cg_residual", "clip_fraction",
         "explained_variance"],
        raw,
    )  # fmt: skip


def settings(s: SweepTable) -> Table:
    caption = "Ranked by the mean over seeds; 95% Student interval. "
    caption += "* the best setting is ahead (Welch, Holm over the settings, p <= 0.05). "
    return Table(
        f"settings_{_file(s.env)}_{s.algo}",
        f"Settings of {s.algo} on {s.env}",
        caption + " ".join(s.warnings),
        ["Rank", *s.keys, "Runs", "Mean ± std", "95% interval", "Each run"],
        [
            [f"{rank}{' *' if x.worse else ''}", *(show(x.values[k]) for k in s.keys),
             str(x.interval.n), spread(x.interval), bounds(x.interval),
             ", ".join(number(v) for v in x.finals)]
            for rank, x in enumerate(s.settings, 1)
        ],
        ["rank", *s.keys, "runs", "mean", "std", "low", "high", "worse_than_best", "finals"],
        [
            [rank, *(show(x.values[k]) for k in s.keys), x.interval.n, *_numbers(x.interval),
             int(x.worse), " ".join(f"{v:.6g}" for v in x.finals)]
            for rank, x in enumerate(s.settings, 1)
        ],
    )  # fmt: skip


def importance(s: SweepTable) -> Table:
    return Table(
        f"importance_{_file(s.env)}_{s.algo}",
        f"Importance of each setting of {s.algo} on {s.env}",
        "Share of the variance of the final scores that goes with one setting (eta squared of a "
        "one-way analysis of variance over runs), beside what a setting without effect would show "
        "by chance; p of the F test, for each setting alone.",
        ["Setting", "Levels", "Variance explained", "By chance", "p"],
        [
            [i.key, str(i.levels), "-" if math.isnan(i.share) else f"{i.share:.0%}",
             f"{i.by_chance:.0%}", p_value(i.p)]
            for i in s.importance
        ],
        ["setting", "levels", "eta_squared", "by_chance", "p"],
        [[i.key, i.levels, i.share, i.by_chance, i.p] for i in s.importance],
    )  # fmt: skip


def published_table(c: Comparison) -> Table:
    """What others published of the rules compared, on the same tasks in any version."""
    raw: list[list[Cell]] = []
    shown = []
    for e in c.envs:
        rules = {rule_of(g.cell.runs[0]).split("+")[0] for g in e.groups}
        found = [x for x in published.of_env(e.env) if x.algo.split("+")[0] in rules]
        for x in sorted(found, key=lambda x: (x.algo, -x.mean)):
            why = published.caveat(x, e.env, e.steps)
            raw.append(
                [e.env, x.algo, x.mean, x.std, x.seeds, x.version, x.steps, why, x.source, x.metric]
            )
            spread = "" if x.std is None else f" ± {number(x.std)}"
            steps = "-" if x.steps is None else f"{x.steps:,}"
            known = [number(x.mean) + spread, str(x.seeds or "-"), x.version or "-", steps]
            shown.append([e.env, x.algo, *known, why or "-", x.source, x.metric])
    return Table(
        "published",
        "Published numbers",
        "Numbers of others, as they gave them. Other versions of a task, other measures and other "
        "budgets do not compare: what differs from these runs stands beside each. Where nothing "
        "stands there, the protocol may still differ in what the source does not say.",
        [
            "Environment",
            "Algorithm",
            "Mean ± std",
            "Seeds",
            "Version",
            "Steps",
            "Differs from these runs",
            "Source",
            "Measure",
        ],
        shown,
        ["env", "algo", "mean", "std", "seeds", "version", "steps", "differs", "source", "metric"],
        raw,
    )


def to_csv(table: Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.raw_header)
    for row in table.raw:
        writer.writerow([_plain(value) for value in row])
    return out.getvalue()


def to_markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    rule = "|" + "---|" * len(table.header)
    rows = [line(table.header), rule, *(line(row) for row in table.shown)]
    return f"## {table.title}\n\n{table.caption}\n\n" + "\n".join(rows) + "\n"


def spread(i: Interval) -> str:
    return number(i.value) if math.isnan(i.std) else f"{number(i.value)} ± {number(i.std)}"


def bounds(i: Interval, form: str = "") -> str:
    if math.isnan(i.low):
        return "-"
    low, high = (format(v, form) if form else number(v) for v in (i.low, i.high))
    return f"{low} to {high}"


def _numbers(i: Interval) -> list[float]:
    return [i.value, i.std, i.low, i.high]


def _plain(value: Cell) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "" if value is None or math.isnan(value) else "inf"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _file(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
