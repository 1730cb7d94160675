"""The tables of a sweep: its settings ranked, and how much each of them matters."""

from __future__ import annotations

from trpo_cli.compare.formats import Column, Table, interval
from trpo_cli.compare.groups import show
from trpo_cli.compare.sweep import Setting, Sweep
from trpo_cli.compare.wording import formatted, p_value, spread


def settings(s: Sweep) -> Table:
    def swept(key: str) -> Column:
        return Column(key, key, lambda row: show(row[1].values[key]))

    def place(row: tuple[int, Setting]) -> str:
        return f"{row[0]}{' *' if row[1].worse else ''}"

    return Table(
        f"settings_{s.file_name}",
        f"Settings of {s.algo} on {s.env}",
        "Ranked by the mean over seeds; 95% Student interval. * the best setting is ahead (Welch, "
        f"Holm over the settings, p <= 0.05). {' '.join(s.warnings)}",
        [
            Column("rank", "", lambda row: row[0]),
            Column("", "Rank", lambda row: row, place),
            *map(swept, s.keys),
            Column("runs", "Runs", lambda row: row[1].interval.n),
            Column("", "Mean ± std", lambda row: row[1].interval, spread),
            Column("mean", "", lambda row: row[1].interval.value),
            Column("std", "", lambda row: row[1].interval.std),
            *interval(lambda row: row[1].interval),
            Column("worse_than_best", "", lambda row: int(row[1].worse)),
            Column("finals", "Each run", lambda row: row[1].finals),
        ],
        list(enumerate(s.settings, 1)),
    )


def importance(s: Sweep) -> Table:
    percent = formatted(".0%")
    return Table(
        f"importance_{s.file_name}",
        f"Importance of each setting of {s.algo} on {s.env}",
        "Share of the variance of the final scores that goes with one setting (eta squared of a "
        "one-way analysis of variance over runs), beside what a setting without effect would show "
        "by chance; p of the F test, for each setting alone.",
        [
            Column("setting", "Setting", lambda i: i.key),
            Column("levels", "Levels", lambda i: i.levels),
            Column("eta_squared", "Variance explained", lambda i: i.share, percent),
            Column("by_chance", "By chance", lambda i: i.by_chance, percent),
            Column("p", "p", lambda i: i.p, p_value),
        ],
        s.importance,
    )
