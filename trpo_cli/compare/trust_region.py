"""What each update did, against what it was allowed and expected to do, on the same axes for all.

allowed KL: `algo.max_kl`, after its schedule where that is not the step size's; rules without a
bound have none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trpo_cli.compare.groups import Group
from trpo_cli.compare.metric import AXES
from trpo_cli.compare.read import Run
from trpo_cli.maths.schedule import scheduled

BINS = 40
IN_SAMPLE, HELD_OUT = (f"trust_region/{name}_improvement" for name in ("in_sample", "held_out"))
FEWEST = 10
"""Measurements that a standard error of their mean takes."""
OVER = 1.5
"""An achieved KL of more than this many times the allowed one is far over it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One panel. values: run -> (rows,), NaN where a row says nothing. log: its y axis."""

    name: str
    unit: str
    values: Callable[[Run], Floats]
    log: bool = False


def column(key: str) -> Callable[[Run], Floats]:
    return lambda run: run.column(key)


def allowed_kl(run: Run) -> Floats:
    """(rows,) the bound of each update, NaN without one. The schedule follows the share of
    training still to come before the batch was collected; that of a rule with a step size, `dual`,
    is of the step size, and its bound stays."""
    max_kl = run.config.get("algo.max_kl")
    fixed = run.config.get("algo.step_rule") == "fixed"
    if max_kl is None or fixed:
        return np.full(run.columns["step"].shape, np.nan)
    of_step_size = run.config.get("algo.learning_rate") is not None
    schedule = "constant" if of_step_size else str(run.config.get("algo.schedule"))
    total = float(run.config["total_steps"])
    shares = np.maximum(0.0, 1.0 - run.columns["step"] / total)
    shares = np.concatenate([[1.0], shares[:-1]])
    return np.array([scheduled(float(max_kl), schedule, float(share)) for share in shares])


def accepted(run: Run) -> NDArray[np.bool_]:
    """(rows,) updates that moved the policy under a trust region."""
    return run.column("trust_region/accepted") == 1


def kl_used(run: Run) -> Floats:
    return _ratio(run.column("policy/kl"), allowed_kl(run), accepted(run))


def kl_against_model(run: Run) -> Floats:
    return _ratio(run.column("policy/kl"), run.column("trust_region/predicted_kl"), accepted(run))


def improvement_against_model(run: Run) -> Floats:
    return _ratio(
        run.column("trust_region/actual_improvement"),
        run.column("trust_region/expected_improvement"),
        accepted(run),
    )


def held_out_share(run: Run) -> Floats:
    in_sample = run.column(IN_SAMPLE)
    return _ratio(run.column(HELD_OUT), in_sample, np.isfinite(in_sample))


def gain(run: Run) -> Floats:
    return run.column("policy/surrogate_after") - run.column("policy/surrogate_before")


def rejected(run: Run) -> Floats:
    return 1.0 - run.column("trust_region/accepted")


MEASURES = (
    Measure("KL of an update", "nats; dashed: allowed", column("policy/kl"), log=True),
    Measure("Allowed KL used", "achieved / allowed KL", kl_used),
    Measure("Quadratic model of the KL", "achieved / predicted KL", kl_against_model),
    Measure("Improvement of the surrogate, in sample", "after - before the update", gain),
    Measure(
        "Linear model of the surrogate",
        "achieved / expected, in sample",
        improvement_against_model,
    ),
    Measure("Gain held out", "share of the gain in sample", held_out_share),
    Measure("Backtracks", "trials before the last, mean", column("trust_region/backtracks")),
    Measure("Rejected updates", "share", rejected),
    Measure(
        "Conjugate-gradient residual",
        "||Fx - g|| / ||g||",
        column("trust_region/cg_residual"),
        log=True,
    ),
    Measure("Curvature", "x'Fx", column("trust_region/curvature"), log=True),
    Measure("Clip fraction", "share of samples", column("policy/clip_fraction")),
    Measure(
        "Explained variance", "share of the returns' variance", column("value/explained_variance")
    ),
)


@dataclass(frozen=True)
class Binned:
    """A group's measure over training: middle of each bin along each of `AXES`, mean over runs of
    their bin means, lowest and highest run."""

    places: dict[str, Floats]
    mean: Floats
    low: Floats
    high: Floats


def binned(group: Group, values: Callable[[Run], Floats], bins: int = BINS) -> Binned | None:
    """None where no run has the measure. Updates are averaged within bins of environment steps,
    at least about two updates wide, up to the end of the shortest run."""
    series = [(run.columns["step"], values(run)) for run in group.runs]
    if not any(np.isfinite(y).any() for _, y in series):
        return None
    end = min(float(x[-1]) for x, _ in series)
    bins = max(1, min(bins, min(x.size for x, _ in series) // 2))
    edges = np.linspace(0.0, end, bins + 1)
    means = np.stack([_bin_means(x, y, edges) for x, y in series])
    keep = np.isfinite(means).any(axis=0)
    means, middle = means[:, keep], (0.5 * (edges[1:] + edges[:-1]))[keep]
    places = {axis: _mean_place(group, key, middle) for axis, key in AXES.items()}
    return Binned(
        places, np.nanmean(means, axis=0), np.nanmin(means, axis=0), np.nanmax(means, axis=0)
    )


def _mean_place(group: Group, key: str, steps: Floats) -> Floats:
    """Where these steps are along another axis, as the mean over the runs."""
    places = [np.interp(steps, run.columns["step"], run.column(key)) for run in group.runs]
    return np.asarray(np.mean(places, axis=0))


def _bin_means(x: Floats, y: Floats, edges: Floats) -> Floats:
    """Mean of the finite y in each (edge, next edge]; NaN in a bin without any."""
    good = np.isfinite(y)
    index = np.searchsorted(edges, x[good], side="left") - 1
    inside = (index >= 0) & (index < edges.size - 1)
    total = np.bincount(index[inside], y[good][inside], edges.size - 1)
    count = np.bincount(index[inside], minlength=edges.size - 1)
    return np.divide(total, count, out=np.full(edges.size - 1, np.nan), where=count > 0)


@dataclass(frozen=True)
class Summary:
    """A group's updates in numbers, each pooled over runs; NaN where the rule has no such thing.

    over_bound: share of the accepted updates whose KL exceeds the allowed one by more than half.
    kl_used, kl_model, improvement_model: medians over accepted updates of the ratios above;
    kl_largest: the largest kl_used.
    rejections: reason -> share of all updates.
    in_sample, held_out: mean gains of the direction of half a batch, on that half and on the other
    one; held_out_error: standard error of the second; held_out_share: of the first.
    backtracks: mean over accepted updates. explained_variance: median over the second half.
    skipped: share of updates that did not move at all, without a trust region.
    """

    updates: int
    kl: float
    over_bound: float
    kl_used: float
    kl_largest: float
    kl_model: float
    improvement_model: float
    rejected: float
    rejections: dict[str, float]
    backtracks: float
    in_sample: float
    held_out: float
    held_out_error: float
    held_out_share: float
    clip_fraction: float
    explained_variance: float
    skipped: float


def summarise(group: Group) -> Summary:
    runs = group.runs

    def pooled(values: Callable[[Run], Floats]) -> Floats:
        found = np.concatenate([values(run) for run in runs])
        return found[np.isfinite(found)]

    reasons: Counter[str] = Counter()
    skips: Counter[str] = Counter()
    for run in runs:
        reasons.update(run.words.get("trust_region/reason", {}))
        skips.update(run.words.get("policy/skipped", {}))
    in_sample, held_out = _mean(pooled(column(IN_SAMPLE))), pooled(column(HELD_OUT))
    tried, steps = sum(reasons.values()), sum(skips.values())
    return Summary(
        updates=sum(run.columns["step"].size for run in runs),
        kl=_median(pooled(column("policy/kl"))),
        over_bound=_mean((pooled(kl_used) > OVER).astype(float)),
        kl_used=_median(pooled(kl_used)),
        kl_largest=float(max(pooled(kl_used), default=math.nan)),
        kl_model=_median(pooled(kl_against_model)),
        improvement_model=_median(pooled(improvement_against_model)),
        rejected=_mean(pooled(rejected)),
        rejections={why: count / tried for why, count in reasons.most_common() if why},
        backtracks=_mean(pooled(_accepted_backtracks)),
        in_sample=in_sample,
        held_out=_mean(held_out),
        held_out_error=_error(held_out),
        held_out_share=_mean(held_out) / in_sample if in_sample > 0.0 else math.nan,
        clip_fraction=_mean(pooled(column("policy/clip_fraction"))),
        explained_variance=_median(pooled(_second_half)),
        skipped=1.0 - skips[""] / steps if steps else math.nan,
    )


def _accepted_backtracks(run: Run) -> Floats:
    return run.column("trust_region/backtracks")[accepted(run)]


def _second_half(run: Run) -> Floats:
    values = run.column("value/explained_variance")
    return values[values.size // 2 :]


def _ratio(top: Floats, bottom: Floats, where: NDArray[np.bool_]) -> Floats:
    good = where & np.isfinite(top) & np.isfinite(bottom) & (bottom > 0)
    with np.errstate(over="ignore"):  # over a bound of next to nothing
        return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=good)


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else math.nan


def _error(values: Floats) -> float:
    """Standard error of the mean; NaN of too few."""
    if values.size < FEWEST:
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(values.size)


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else math.nan
