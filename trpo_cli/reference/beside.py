"""Stored runs beside a user's, as tables and curves of `trpo-compare`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from trpo_cli.compare import align
from trpo_cli.compare.analyse import drawn_along
from trpo_cli.compare.formats import Column, Table
from trpo_cli.compare.groups import show
from trpo_cli.compare.metric import AXES, EVAL_CURVE, TRAIN_CURVE
from trpo_cli.compare.results import Background, Comparison, EnvResult
from trpo_cli.compare.statistics import mean_interval
from trpo_cli.compare.wording import formatted, number, p_value, spread
from trpo_cli.reference.distil import EACH
from trpo_cli.reference.place import Placed
from trpo_cli.reference.runs import as_run
from trpo_cli.reference.store import Result


def with_background(comparison: Comparison, placed: Sequence[Placed]) -> Comparison:
    """The comparison with curves of the stored runs in its figures, as far as the user's go."""
    envs = []
    for env in comparison.envs:
        found = [p for p in placed if p.group.env == env.env] if _shows_returns(env) else []
        cells = {p.stored[0].rule: p.stored for p in found}
        background = [_background(rule, stored, env.steps) for rule, stored in cells.items()]
        envs.append(dataclasses.replace(env, background=background))
    return dataclasses.replace(comparison, envs=envs)


def table(placed: Sequence[Placed]) -> Table:
    return Table(
        "reference",
        "Among the reference runs",
        "Runs of the same rule, sampler and task that came with the package. Compared is the mean "
        "return of the training episodes over the second half of the steps that both have. "
        "Expected: where the mean of as many runs of the stored kind lies with probability 95%, "
        "if runs vary normally.",
        [
            Column("env", "Environment", lambda p: p.group.env),
            Column("group", "Group", lambda p: p.group.label),
            Column("steps", "Steps", lambda p: p.steps),
            Column("mean", "", lambda p: float(np.mean(p.mine))),
            Column("", "These runs", lambda p: spread(mean_interval(p.mine))),
            Column("reference_mean", "", lambda p: float(np.mean(p.theirs))),
            Column("", "Reference", lambda p: spread(mean_interval(p.theirs))),
            Column("", "Expected", expected),
            Column("low", "", lambda p: p.low),
            Column("high", "", lambda p: p.high),
            Column("verdict", "Verdict", lambda p: p.verdict),
            Column("where", "They lie", lambda p: p.where),
            Column("share", "P(exceeds one)", lambda p: p.share, formatted(".2f")),
            Column("p", "Permutation p", lambda p: p.p, p_value),
            Column("reference_runs", "Reference runs", lambda p: len(p.theirs)),
            Column(
                "differs",
                "Settings that differ",
                lambda p: ", ".join(
                    f"{k}={show(a)}, not {show(b)}" for k, (a, b) in p.differs.items()
                ),
            ),
        ],
        list(placed),
        part="env",
    )


def expected(placed: Placed) -> str:
    return "" if math.isnan(placed.low) else f"{number(placed.low)} to {number(placed.high)}"


def differs(placed: Placed) -> str:
    return ", ".join(f"{key}={show(a)}, not {show(b)}" for key, (a, b) in placed.differs.items())


def _shows_returns(env: EnvResult) -> bool:
    """Whether its figure is of what the stored curves are: returns of sampled actions."""
    if env.metric.key == EVAL_CURVE:
        return not any(r.config.get("eval.deterministic") for g in env.groups for r in g.group.runs)
    return env.metric.key == TRAIN_CURVE


def _background(rule: str, stored: Sequence[Result], end: int) -> Background:
    curves = [align.curves_of(as_run(cut(result, end)), EACH) for result in stored]
    found = {axis: [c[axis] for c in curves] for axis in AXES}
    grids = {axis: align.grid([c]) for axis, c in found.items()}
    return Background(f"{rule} (reference)", drawn_along(found, grids))


def cut(result: Result, end: int) -> Result:
    """A run as it was after `end` steps."""
    if result.steps[-1] <= end or result.steps[0] >= end:
        return result
    before = result.steps < end
    steps = np.append(result.steps[before], float(end))
    share = end / float(result.steps[-1])
    return dataclasses.replace(
        result,
        steps=steps,
        returns=np.interp(steps, result.steps, result.returns),
        seconds=share * result.seconds,
        updates=round(share * result.updates),
    )
