"""Tables beside the main ones: the updates, the settings of a sweep, published numbers."""

from __future__ import annotations

import math

from trpo_cli.compare import published
from trpo_cli.compare.groups import rule_of, show
from trpo_cli.compare.results import Comparison
from trpo_cli.compare.sweep_table import SweepTable
from trpo_cli.compare.table import Cell, Table, bounds, file_name, numbers, spread
from trpo_cli.compare.verdict import number, p_value

UPDATES = (
    ("kl", "KL", ".2g"),
    ("kl_used", "Allowed KL used", ".0%"),
    ("kl_largest", "Largest", ".1%"),
    ("over_bound", "Far over it", ".0%"),
    ("kl_model", "KL / model", ".2f"),
    ("improvement_model", "Gain / model", ".2f"),
    ("rejected", "Rejected", ".1%"),
    ("backtracks", "Backtracks", ".2f"),
    ("cg_residual", "CG residual", ".1g"),
    ("clip_fraction", "Clipped", ".1%"),
    ("explained_variance", "Explained variance", ".2f"),
)
"""Fields of `Summary`, their titles and how they are written."""


def updates(c: Comparison) -> Table:
    groups = [(e.env, g.label, g.updates) for e in c.envs for g in e.groups]
    raw: list[list[Cell]] = []
    shown = []
    for env, label, summary in groups:
        values = [getattr(summary, name) for name, _, _ in UPDATES]
        words = [
            "-" if math.isnan(v) else format(v, form)
            for v, (_, _, form) in zip(values, UPDATES, strict=True)
        ]
        raw.append([env, label, summary.updates, *values])
        shown.append([env, label, f"{summary.updates:,}", *words])
    return Table(
        "updates",
        "Updates in numbers",
        "All updates of all runs of a group: medians of the KL and of the ratios to what was "
        "allowed or predicted, the largest achieved KL over the allowed one and the share that "
        "exceeds it by more than half, mean backtracks and clip fraction, median explained "
        "variance of the second half.",
        ["Environment", "Group", "Updates", *(title for _, title, _ in UPDATES)],
        shown,
        ["env", "group", "updates", *(name for name, _, _ in UPDATES)],
        raw,
    )


def settings(s: SweepTable) -> Table:
    caption = "Ranked by the mean over seeds; 95% Student interval. "
    caption += "* the best setting is ahead (Welch, Holm over the settings, p <= 0.05). "
    return Table(
        f"settings_{file_name(s.env)}_{s.algo}",
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
            [rank, *(show(x.values[k]) for k in s.keys), x.interval.n, *numbers(x.interval),
             int(x.worse), " ".join(f"{v:.6g}" for v in x.finals)]
            for rank, x in enumerate(s.settings, 1)
        ],
    )  # fmt: skip


def importance(s: SweepTable) -> Table:
    return Table(
        f"importance_{file_name(s.env)}_{s.algo}",
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
