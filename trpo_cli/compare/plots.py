"""Which figures there are, and what each of them shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist

from trpo_cli.compare import published
from trpo_cli.compare.charts import Mark, chart_of_curves
from trpo_cli.compare.groups import natural, rule_of, show
from trpo_cli.compare.metric import AXES
from trpo_cli.compare.panels import (
    AXIS_WORDS,
    Panel,
    Plot,
    band,
    bar,
    count,
    dots,
    limits,
    line,
    row_panel,
    rule_at,
    spread_of,
)
from trpo_cli.compare.ranking import FEW_RUNS
from trpo_cli.compare.results import Comparison, EnvResult
from trpo_cli.compare.scores import FINAL_EVALUATION
from trpo_cli.compare.style import PLAIN, Look, looks
from trpo_cli.compare.sweep import Setting, Sweep
from trpo_cli.compare.update_plots import diagnostics
from trpo_cli.compare.wording import runs

MAX_KEYS = 6
MAX_LEVELS = 8
MAX_PAIRS = 15


def all_plots(c: Comparison, sweeps: Sequence[Sweep], against: bool) -> list[Plot]:
    looked = looks(c.labels)
    plots = [curves(c, against), finals(c, looked)]
    plots += [across(c, looked)] if len(c.labels) > 1 else []
    plots += [diagnostics(e, looked) for e in c.envs if not all(g.group.tool for g in e.groups)]
    return plots + [effects(sweep) for sweep in sweeps]


# Learning curves and scores ---------------------------------------------------------------------


def curves(c: Comparison, against: bool) -> Plot:
    others = [b for e in c.envs for b in e.background]
    looked = looks([*c.labels, *dict.fromkeys(b.label for b in others)])
    sizes = [len(g.curves[a].curves) for e in c.envs for g in e.drawn for a in g.curves]
    caption = f"Mean over runs of the {c.in_words(lambda e: e.metric.words)}."
    if min(sizes) < FEW_RUNS:
        caption += f" Thin lines: the single runs of groups with fewer than {FEW_RUNS}."
    if max(sizes) >= FEW_RUNS:
        caption += (
            " Shaded: its pointwise 95% Student interval (each point by itself, not the whole "
            "curve)."
        )
    caption += " Each group ends with its shortest run."
    if any(g.curves[a].by_steps for e in c.envs for g in e.drawn for a in g.curves):
        caption += (
            " Along seconds, where a run of a group ended before another had begun, its runs are "
            "averaged at the same steps and drawn at the mean of their seconds."
        )
    if others:
        caption += " Reference: runs that came with the package, as far as the others go."
    beside = [marks_beside(c, e, against) for e in c.envs]
    shown = [mark for marks in beside for mark in marks[c.options.axis]]
    if any(mark.final for mark in shown):
        caption += (
            f" Large dots: the {c.protocol.final}. Training episodes fall behind it where they are "
            "long: many of them began under earlier policies."
        )
    if any(not mark.final for mark in shown):
        caption += (
            " Hollow markers at the right: the highest published number of the same algorithm and "
            "number of steps, with its standard deviation over seeds where one is given; other "
            "versions of the task and other measures, see the table."
        )
    panels = [curve_panel(c, e, looked, marks) for e, marks in zip(c.envs, beside, strict=True)]
    return Plot("curves", "Learning curves", caption, panels, looked)


def curve_panel(
    c: Comparison, env: EnvResult, looked: dict[str, Look], beside: dict[str, list[Mark]]
) -> Panel:
    """Single runs as thin lines where they are few: an interval of three runs is mostly fog."""
    marks: list[Artist] = []
    axis = c.options.axis
    drawn = [(looked[g.label], g.curves[axis]) for g in env.drawn if axis in g.curves]
    seen = [d.curves for _, d in drawn]
    for look, d in drawn:
        if len(d.curves) >= FEW_RUNS:
            marks.append(band(d.x, d.low, d.high, look))
            seen += [d.low, d.high]
        elif len(d.curves) > 1:
            marks += [line(d.x, one, look.solid, 0.6, 0.5) for one in d.curves]
    for place, (look, d) in enumerate(drawn):
        marks.append(line(d.x, d.mean, look, every=(7 + 5 * place % 20, 28)))
        if d.x.size == 1:
            marks.append(dots(d.x, d.mean, look, 7.0))
    for mark in beside[axis]:
        look, std = looked[mark.group], mark.std or 0.0
        ends = [mark.mean - std, mark.mean + std]
        if std:
            marks.append(line([mark.x] * 2, ends, look.solid, 0.8, 0.7))
        size = 7.0 if mark.final else 4.0
        marks.append(dots([mark.x], [mark.mean], look, size, hollow=not mark.final))
        seen.append(np.array(ends))
    _, end = spread_of([*(d.x for _, d in drawn), [mark.x for mark in beside[axis]]])
    return Panel(
        f"{env.env} ({count(env)})",
        marks,
        AXIS_WORDS[axis],
        env.metric.label,
        (0.0, end * 1.04),  # the last dot is whole
        limits(*spread_of(seen)),
        chart=chart_of_curves(env, beside),
    )


def marks_beside(c: Comparison, env: EnvResult, against: bool) -> dict[str, list[Mark]]:
    """Along each axis: the final evaluations at the ends of curves of training episodes, which lag
    where episodes are long; over steps the published numbers too."""
    behind = env.metric.smoothed and c.protocol.final == FINAL_EVALUATION
    found = {
        axis: [
            Mark(g.label, float(g.curves[axis].x[-1]), g.final.value, None, final=True)
            for g in env.groups
            if behind and axis in g.curves
        ]
        for axis in AXES
    }
    if against and c.options.axis == "steps":
        found["steps"] += published_beside(env)
    return found


def published_beside(env: EnvResult) -> list[Mark]:
    """The highest published numbers of groups that made as many steps, side by side right of the
    curves."""
    end = max(float(g.curves["steps"].x[-1]) for g in env.groups)
    found: dict[published.Published, str] = {}
    for g in env.groups:
        rule, steps = rule_of(g.group.runs[0]), min(run.reached for run in g.group.runs)
        entry = published.highest(env.env, rule, steps)
        if entry is not None:
            found.setdefault(entry, g.label)
    return [
        Mark(label, end * (1.0 + 0.03 * place), entry.mean, entry.std)
        for place, (entry, label) in enumerate(found.items(), 1)
    ]


def finals(c: Comparison, looked: dict[str, Look]) -> Plot:
    caption = (
        f"{c.protocol.final[0].upper()}{c.protocol.final[1:]}: every run a pale dot; below it the "
        "mean and its 95% Student interval, cut where it leaves the panel."
    )
    panels = []
    for e in c.envs:
        marks: list[Artist] = []
        for row, g in enumerate(e.groups):
            look = looked[g.label]
            marks.append(dots(g.finals, [row - 0.18] * len(g.finals), look, opacity=0.5))
            marks += bar(g.final.value, g.final.low, g.final.high, row + 0.14, look)
        low, high = spread_of([g.finals for g in e.groups])
        panels.append(row_panel(f"{e.env} ({count(e)})", marks, [g.label for g in e.groups],
                                "return", limits(low, high, 0.4)))  # fmt: skip
    return Plot("final", "Final performance", caption, panels, {})


def across(c: Comparison, looked: dict[str, Look]) -> Plot:
    panels = []
    words = []
    if c.aggregate:
        shared = sum(len(e.groups) == len(c.labels) and e.scale is not None for e in c.envs)
        marks = [
            m
            for row, (label, i) in enumerate(c.aggregate.items())
            for m in bar(i.value, i.low, i.high, row, looked[label])
        ]
        ends = [[i.low, i.high, i.value] for i in c.aggregate.values()]
        fewest = min(i.n for i in c.aggregate.values())
        title = f"Interquartile mean (at least {runs(fewest)})"
        xlim = limits(*spread_of(ends))
        panels.append(row_panel(title, marks, list(c.aggregate), "normalised score", xlim))
        words.append(
            f"Interquartile mean: of the middle half of the normalised final scores on {shared} "
            "environments, 95% interval from a bootstrap of runs within each."
        )
    shown = sorted(c.improvements, key=lambda i: -abs(i.probability.value - 0.5))[:MAX_PAIRS]
    shown = [i for i in c.improvements if i in shown]
    marks = [rule_at(0.5, len(shown))]
    for row, i in enumerate(shown):
        p = i.probability
        marks += bar(p.value, p.low, p.high, row, PLAIN)
    fewest = min(i.probability.n for i in shown)
    title = f"Probability of improvement (at least {runs(fewest)})"
    names = [f"{i.a} > {i.b}" for i in shown]
    panels.append(row_panel(title, marks, names, "probability", (-0.03, 1.03)))
    words.append(
        "Probability of improvement: that a run of the first exceeds a run of the second, averaged "
        "over environments, 95% score interval; 0.5 is no difference."
    )
    if len(shown) < len(c.improvements):
        words.append(f"The {MAX_PAIRS} most one-sided of {len(c.improvements)} pairs.")
    return Plot("across", "Across environments", " ".join(words), panels, {})


# Sweeps -----------------------------------------------------------------------------------------


def effects(sweep: Sweep) -> Plot:
    shown = sweep.importance[:MAX_KEYS]
    total = sum(len(s.finals) for s in sweep.settings)
    panels = []
    for i in shown:
        share = "-" if math.isnan(i.share) else f"{i.share:.0%}"
        panels.append(effect_panel(f"{i.key}: {share} of the variance ({total} runs)",
                                   sweep.settings, i.key))  # fmt: skip
    caption = (
        f"Final performance of every run by the value of one key; diamonds, joined: means. "
        f"{len(sweep.settings)} settings. " + " ".join(sweep.warnings)
    )
    title = f"Settings of {sweep.algo} on {sweep.env}"
    return Plot(f"settings_{sweep.file_name}", title, caption, panels, {})


def effect_panel(title: str, settings: Sequence[Setting], key: str) -> Panel:
    look = Look(0, (), "o")
    values = [s.values[key] for s in settings for _ in s.finals]
    y = [v for s in settings for v in s.finals]
    ylim = limits(min(y), max(y))
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    levels = sorted({show(v) for v in values}, key=natural)
    if len(numbers) == len(values):
        levels = list(dict.fromkeys(show(v) for v in sorted(values)))
    if len(levels) > MAX_LEVELS and len(numbers) == len(values):
        log = min(numbers) > 0 and max(numbers) > 20 * min(numbers)
        xlim = limits(min(numbers), max(numbers), log=log)
        marks: list[Artist] = [dots(numbers, y, look, opacity=0.6)]
        return Panel(title, marks, key, "return", xlim, ylim, log_x=log)
    place = [levels.index(show(v)) for v in values]
    means = [float(np.mean([b for a, b in zip(place, y, strict=True) if a == k]))
             for k in range(len(levels))]  # fmt: skip
    diamonds = Look(0, (), "D")
    marks = [
        dots(place, y, look, opacity=0.5),
        line(range(len(levels)), means, diamonds, every=(0, 1)),
    ]
    return Panel(title, marks, key, "return", (-0.4, len(levels) - 0.6), ylim, columns=levels)
