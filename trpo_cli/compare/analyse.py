"""Every number of the report, computed once; tables, figures, page and verdict only show them."""

from __future__ import annotations

import difflib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trpo_cli.compare import align, scores, trust_region
from trpo_cli.compare.align import Curve, Floats
from trpo_cli.compare.diagnosis import diagnose
from trpo_cli.compare.groups import Group, Grouping
from trpo_cli.compare.metric import AXES, EVAL_CURVE, TRAIN_CURVE, Metric, choose_metric
from trpo_cli.compare.normalise import human_scale, range_scale
from trpo_cli.compare.power import seeds_needed
from trpo_cli.compare.read import Run
from trpo_cli.compare.results import (
    Comparison,
    Crossing,
    Drawn,
    EnvResult,
    GroupResult,
    Improvement,
    Options,
    Pair,
)
from trpo_cli.compare.scores import Protocol
from trpo_cli.compare.statistics import (
    ALPHA,
    Interval,
    aggregate_interval,
    censored_median,
    detectable_difference,
    holm,
    improvement_interval,
    least_permutation_p,
    mean_band,
    mean_interval,
    permutation_test,
    welch,
)
from trpo_cli.errors import UserError
from trpo_cli.runs import chain
from trpo_cli.runs.directory import METRICS

REACH = 0.8
"""Default threshold: this part of the way from the start to the best group's end of the curve."""

UNTOLD = "nothing is known of its updates"


def analyse(grouping: Grouping, options: Options, notes: Sequence[str]) -> Comparison:
    """grouping: of runs that `comparable` kept. Raises `UserError` where one has no value of the
    metric asked for, and where runs have no range in common."""
    runs = [run for group in grouping.groups.values() for run in group.runs]
    protocol = scores.choose_protocol(runs)
    human = options.normalise != "range" and all(human_scale(env) for env in grouping.envs)
    if options.normalise == "human" and not human:
        lacking = next(env for env in grouping.envs if human_scale(env) is None)
        raise UserError(
            f"--normalise human: there is no random and no human score for {lacking}; "
            "--normalise range takes the range of the runs instead."
        )
    envs = [analyse_env(env, grouping.of(env), options, protocol, human) for env in grouping.envs]
    known = set(grouping.envs)
    unknown = [env for env in options.thresholds if env and env not in known]
    if unknown:
        raise UserError(
            f"--threshold {unknown[0]}: no run is on that environment; there are "
            f"{', '.join(sorted(known))}."
        )
    pairs = compare_pairs(envs)
    everything = [*notes, *grouping.notes, *protocol.notes]
    return Comparison(
        options,
        protocol,
        envs,
        grouping.labels,
        aggregates(envs, grouping.labels),
        pairs,
        improvements(envs, grouping.labels),
        everything,
    )


def analyse_env(
    env: str,
    groups: Sequence[Group],
    options: Options,
    protocol: Protocol,
    human: bool,
) -> EnvResult:
    runs = [run for group in groups for run in group.runs]
    metric, returns = choose_metric(runs, options.curve), choose_metric(runs)
    curves = {group.label: curves_of(group, metric) for group in groups}
    learned = curves
    if metric != returns:
        learned = {group.label: curves_of(group, returns) for group in groups}
    refuse_unknown(groups, curves, options.axis)
    for found in (curves, learned):
        low, high = align.span([c["steps"] for group in found.values() for c in group])
        if high < low:
            raise UserError(
                f"The runs on {env} have no range of steps in common: a run ends before another "
                "begins. Leave the short ones out."
            )
    shared = align.span([c[options.axis] for group in learned.values() for c in group])
    finals = {g.label: [scores.final_score(run, protocol) for run in g.runs] for g in groups}
    starts = [
        start_of(run, found["steps"])
        for group in groups
        for run, found in zip(group.runs, learned[group.label], strict=True)
    ]
    threshold = options.thresholds.get(env, options.thresholds.get("", math.nan))
    if math.isnan(threshold):
        ends = [float(np.mean([c["steps"].y[-1] for c in group])) for group in learned.values()]
        start = float(np.mean(starts))
        threshold = start + REACH * (max(ends) - start)
    grids = {a: align.grid([[c[a] for c in found] for found in curves.values()]) for a in AXES}
    results = [
        analyse_group(
            group,
            drawn_along({a: [c[a] for c in curves[group.label]] for a in AXES}, grids),
            {axis: [c[axis] for c in learned[group.label]] for axis in AXES},
            finals[group.label],
            options.axis,
            protocol,
            shared,
            threshold,
        )
        for group in groups
    ]
    scale = human_scale(env) if human else range_scale(starts, list(finals.values()))
    reached = max(run.reached for run in runs)
    return EnvResult(env, metric, returns, reached, threshold, results, scale)


def refuse_unknown(
    groups: Sequence[Group], curves: Mapping[str, Sequence[Mapping[str, Curve]]], axis: str
) -> None:
    """Raise `UserError` for a run of which nobody tells where it was along the axis."""
    for group in groups:
        for run, found in zip(group.runs, curves[group.label], strict=True):
            if found[axis].empty:
                raise UserError(
                    f"--x {axis}: the files of {run.path} tell no {axis}. Compare it over steps."
                )


def start_of(run: Run, learned: Curve) -> float:
    """The return with which a run began: of its first training episodes, of `learned` where no
    episode of training ended. The first evaluation may come late in training."""
    values = run.column(TRAIN_CURVE)
    values = values[np.isfinite(values)]
    return float(values[0] if values.size else learned.y[0])


def known_metrics(run: Run) -> list[str]:
    if run.tool:
        return [TRAIN_CURVE]
    with open(run.path / METRICS, encoding="utf-8") as file:
        return [*(key for key in json.loads(file.readline()) if key != chain.KEY), EVAL_CURVE]


def curves_of(group: Group, metric: Metric) -> list[dict[str, Curve]]:
    """A run's curves, axis -> curve; raises `UserError` for a run that has none."""
    for run in group.runs:
        if metric.key not in (EVAL_CURVE, TRAIN_CURVE) and metric.key not in run.columns:
            known = known_metrics(run)
            close = difflib.get_close_matches(metric.key, known, 3, 0.6)
            hint = (
                f"Did you mean {' or '.join(close)}?" if close else f"There are {', '.join(known)}."
            )
            raise UserError(f"--curve {metric.key}: {run.path} has no metric of that name. {hint}")
    found = [align.curves_of(run, metric) for run in group.runs]
    for run, curves in zip(group.runs, found, strict=True):
        if curves["steps"].empty:
            raise UserError(
                f"--curve {metric.key}: {run.path} has no value of it to draw. Leave --curve out, "
                "or compare the other runs only."
            )
    return found


def analyse_group(
    group: Group,
    curves: dict[str, Drawn],
    learned: dict[str, list[Curve]],
    finals: list[float],
    axis: str,
    protocol: Protocol,
    shared: tuple[float, float],
    threshold: float,
) -> GroupResult:
    """learned: the runs' curves of returns. shared: where the area is; its end may lie before its
    beginning, as a fast run may have ended before a slow one began."""
    bests = [
        scores.best_score(run, protocol, c)
        for run, c in zip(group.runs, learned["steps"], strict=True)
    ]
    some = shared[0] <= shared[1]
    areas = [align.mean_height(c, *shared) if some else math.nan for c in learned[axis]]
    updates = trust_region.summarise(group)
    panels = {m.name: trust_region.binned(group, m.values) for m in trust_region.MEASURES}
    panels["allowed"] = trust_region.binned(group, trust_region.allowed_kl)
    return GroupResult(
        group,
        curves,
        finals,
        mean_interval(finals),
        mean_interval(bests),
        mean_interval(areas),
        crossing(learned["steps"], threshold, budget=True),
        crossing(learned["seconds"], threshold, budget=False),
        updates,
        [UNTOLD] if group.tool else diagnose(updates),
        {name: panel for name, panel in panels.items() if panel is not None},
    )


def drawn_along(curves: dict[str, list[Curve]], grids: dict[str, Floats]) -> dict[str, Drawn]:
    """A group's curve along each of `AXES`; none where its runs have no range of steps in common,
    or their files do not tell where they were. curves: axis -> those of its runs.

    Along another axis they may have no range in common: a run on an idle machine can end before
    one on a busy machine has done its first update. They are then averaged at the same steps, and
    that mean stands at the mean of the places that the runs had reached there.
    """
    found: dict[str, Drawn] = {}
    for axis in AXES:
        if any(c.empty for c in curves[axis]):
            continue
        low, high = align.span(curves[axis])
        if low <= high:
            x = grids[axis][(grids[axis] >= low) & (grids[axis] <= high)]
            y = align.on_grid(curves[axis], x)
            found[axis] = Drawn(x, y, *mean_band(y))
        elif (steps := found.get("steps")) is not None:
            places = [
                np.interp(steps.x, s.x, other.x)
                for s, other in zip(curves["steps"], curves[axis], strict=True)
            ]
            found[axis] = replace(steps, x=np.mean(places, axis=0), by_steps=True)
    return found


def crossing(curves: Sequence[Curve], threshold: float, budget: bool) -> Crossing:
    """budget: along an axis on which runs end at a budget, so that one that was stopped early may
    be taken as censored there. On the other, a run that uses up its budget soon would be: it would
    leave the risk set because it is fast, so that it counts as never arriving instead. Where the
    axis of a run is not known, nothing is."""
    if any(c.empty for c in curves):
        return Crossing(math.nan, 0, 0, math.nan)
    found = [align.first_crossing(c, threshold) for c in curves]
    reached = [r for _, r in found]
    times = [t if r or budget else math.inf for t, r in found]
    end = max(float(c.x[-1]) for c in curves)
    return Crossing(censored_median(times, reached), sum(reached), len(found), end)


def compare_pairs(envs: Sequence[EnvResult]) -> list[Pair]:
    found = [
        (e.env, a.label, b.label, a.finals, b.finals)
        for e in envs
        for a, b in itertools.combinations(e.groups, 2)
    ]
    differences = [welch(x, y) for *_, x, y in found]
    adjusted = holm([d.p for d in differences])
    alpha = ALPHA / max(1, sum(not math.isnan(p) for p in adjusted))
    return [
        Pair(
            env,
            a,
            b,
            d,
            p,
            permutation_test(x, y),
            least_permutation_p(len(x), len(y)),
            detectable_difference(x, y, alpha),
            seeds_needed(x, y, alpha),
        )
        for (env, a, b, x, y), d, p in zip(found, differences, adjusted, strict=True)
    ]


def normalised(envs: Sequence[EnvResult], label: str) -> list[list[float]]:
    """Per environment that has the group and a scale: the scores of its runs."""
    return [
        list(e.scale(g.finals))
        for e in envs
        for g in e.groups
        if g.label == label and e.scale is not None
    ]


def aggregates(envs: Sequence[EnvResult], labels: Sequence[str]) -> dict[str, Interval]:
    """The interquartile mean of each group over the environments that all groups have, so that no
    group profits from easier ones; empty with fewer than two of them."""
    common = [e for e in envs if {g.label for g in e.groups} == set(labels) and e.scale is not None]
    if len(common) < 2:
        return {}
    return {label: aggregate_interval(normalised(common, label)) for label in labels}


def improvements(envs: Sequence[EnvResult], labels: Sequence[str]) -> list[Improvement]:
    found = []
    for a, b in itertools.combinations(labels, 2):
        samples = []
        for e in envs:
            finals = {g.label: g.finals for g in e.groups}
            if a in finals and b in finals:
                samples.append((finals[a], finals[b]))
        if samples:
            found.append(Improvement(a, b, len(samples), improvement_interval(samples)))
    return found
