"""Sweeps over hyperparameters: settings ranked by the mean over seeds, and which key mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.compare.groups import differing, file_name, grouped, rule_of, show
from trpo_cli.compare.labels import new_name
from trpo_cli.compare.read import Run
from trpo_cli.compare.scores import Protocol, final_score
from trpo_cli.compare.statistics import ALPHA, Interval, holm, mean_interval, welch

MAX_LEVELS = 6
BINS = 4
FEW_SEEDS = 3


@dataclass(frozen=True)
class Setting:
    """One row: values of the keys that were swept, the final scores of its runs, and whether the
    best setting could be told from it (Welch's t with Holm's correction over the settings)."""

    values: dict[str, Any]
    finals: list[float]
    interval: Interval
    worse: bool


@dataclass(frozen=True)
class Importance:
    """How much of the variance of the final scores goes with one key.

    share: eta^2 = SS_between / SS_total of a one-way analysis of variance over runs, levels of a
    number with many values being its quartiles. by_chance: its mean if the key did nothing,
    (levels - 1) / (runs - 1). p: of the F test, NaN where there is nothing to test with.
    """

    key: str
    levels: int
    share: float
    by_chance: float
    p: float


@dataclass(frozen=True)
class Sweep:
    """settings: best mean first. warnings: what there is too little of."""

    env: str
    algo: str
    keys: list[str]
    settings: list[Setting]
    importance: list[Importance]
    warnings: list[str]

    @property
    def file_name(self) -> str:
        return f"{file_name(self.env)}_{file_name(self.algo)}"


def find_sweeps(runs: Sequence[Run], protocol: Protocol, names: Sequence[str] = ()) -> list[Sweep]:
    """One per environment, algorithm and sampler whose runs differ in anything but the seed.
    names: "old=new" of rules."""
    by_rule = grouped(runs, [(run.env, rule_of(run)) for run in runs])
    sweeps = []
    for (env, algo), found in sorted(by_rule.items()):
        keys = list(differing(found))
        if keys:
            sweeps.append(make_sweep(env, new_name(algo, names), keys, found, protocol))
    return sweeps


def make_sweep(
    env: str, algo: str, keys: list[str], runs: Sequence[Run], protocol: Protocol
) -> Sweep:
    values = [{key: run.config.get(key) for key in keys} for run in runs]
    finals = [final_score(run, protocol) for run in runs]
    by_setting: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for named, final in zip(values, finals, strict=True):
        by_setting.setdefault(repr(named), (named, []))[1].append(final)
    ranked = sorted(by_setting.values(), key=lambda s: -float(np.mean(s[1])))
    p_values = holm([welch(ranked[0][1], finals).p for _, finals in ranked[1:]])
    settings = [
        Setting(named, found, mean_interval(found), worse)
        for (named, found), worse in zip(
            ranked, [False, *(p <= ALPHA for p in p_values)], strict=True
        )
    ]
    importance = [importance_of(key, [v[key] for v in values], finals) for key in keys]
    importance.sort(key=lambda i: -i.share if math.isfinite(i.share) else 0.0)
    return Sweep(env, algo, keys, settings, importance, warnings(settings, keys, ranked))


def importance_of(key: str, values: Sequence[Any], finals: Sequence[float]) -> Importance:
    """One-way analysis of variance of the final scores over the levels of one key."""
    from scipy.special import fdtrc  # later than help and errors

    levels, y = levels_of(values), np.asarray(finals, dtype=np.float64)
    found = sorted(set(levels))
    members = [y[[level == one for level in levels]] for one in found]
    total = float(((y - y.mean()) ** 2).sum())
    between = float(sum(m.size * (m.mean() - y.mean()) ** 2 for m in members))
    df_between, df_within = len(found) - 1, y.size - len(found)
    share = between / total if total > 0 else math.nan
    p = math.nan
    within = max(total - between, 0.0)
    if df_between and df_within and within > 0:
        f = (between / df_between) / (within / df_within)
        p = float(fdtrc(df_between, df_within, f))
    return Importance(key, len(found), share, df_between / max(1, y.size - 1), p)


def levels_of(values: Sequence[Any]) -> list[str]:
    """A level per run: the value itself, or for numbers of more than `MAX_LEVELS` values the
    quarter of them that it falls into."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) < len(values) or len(set(numbers)) <= MAX_LEVELS:
        return [show(v) for v in values]
    edges = np.quantile(np.array(numbers, dtype=float), np.arange(1, BINS) / BINS)
    return [str(int(np.searchsorted(edges, v, side="left"))) for v in values]


def warnings(
    settings: Sequence[Setting], keys: Sequence[str], ranked: Sequence[tuple[Mapping, list[float]]]
) -> list[str]:
    found = []
    fewest = min(len(s.finals) for s in settings)
    runs = sum(len(s.finals) for s in settings)
    if fewest < FEW_SEEDS:
        found.append(
            f"Too little to say: {len(settings)} settings and only {fewest} "
            f"seed{'s' * (fewest > 1)} for some; the ranking is mostly luck below {FEW_SEEDS}."
        )
    if runs - 1 <= sum(len({repr(s.values[key]) for s in settings}) - 1 for key in keys):
        found.append(
            f"{runs} runs cannot tell {len(keys)} keys apart: several changed together, and each "
            "one's share counts the others' as well."
        )
    if len(settings) > 1 and not any(s.worse for s in settings):
        found.append("No setting can be told from the best one with these seeds.")
    if len(ranked) > 2:
        found.append(
            f"The best of {len(ranked)} means is too high by selection: run the winner again on "
            "fresh seeds before quoting it."
        )
    return found
