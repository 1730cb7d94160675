"""Which runs have a return to compare: on some environments no episode ends within a short run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trpo_cli.compare.groups import grouped
from trpo_cli.compare.metric import choose_metric
from trpo_cli.compare.read import Run
from trpo_cli.compare.scores import choose_protocol, final_score
from trpo_cli.errors import UserError

NO_EPISODE = (
    "no training episode ended within {steps:,} steps, which all environments of a run share, and "
    "there is no evaluation"
)
NO_SCORE = (
    "no training episode ended there, and evaluations do not count, because other runs have none "
    "of the same kind"
)


def comparable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs that have a curve of returns and a final score; a sentence for each environment on
    those that have not.

    Raises `UserError` where none has.
    """
    notes: list[str] = []
    curved: list[Run] = []
    for env, same in grouped(runs, [run.env for run in runs]).items():
        metric = choose_metric(same)
        bare = [run for run in same if not metric.values(run)[1].size]
        why = NO_EPISODE.format(steps=max((run.reached for run in bare), default=0))
        curved += _without(env, same, bare, why, notes)
    protocol = choose_protocol(curved)
    kept: list[Run] = []
    for env, same in grouped(curved, [run.env for run in curved]).items():
        bare = [run for run in same if math.isnan(final_score(run, protocol))]
        kept += _without(env, same, bare, NO_SCORE, notes)
    if not kept:
        raise UserError(
            f"None of the {len(runs)} runs can be compared. {' '.join(notes)} Train longer, or "
            "evaluate the policy: eval.episodes=20."
        )
    return kept, notes


def _without(
    env: str, same: Sequence[Run], bare: Sequence[Run], why: str, notes: list[str]
) -> list[Run]:
    """same, the runs on env, without those in bare; notes gets a sentence on them."""
    if bare:
        part = "All" if len(bare) == len(same) else f"{len(bare)} of"
        flattery = " That may flatter their groups." if len(bare) < len(same) else ""
        notes.append(
            f"{part} {len(same)} runs on {env} are left out (e.g. {bare[0].path}): {why}.{flattery}"
        )
    return [run for run in same if run not in bare]
