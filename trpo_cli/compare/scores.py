"""One number per run: final and best performance, and which protocol both were measured by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.compare.align import Curve
from trpo_cli.compare.metric import TRAIN_CURVE
from trpo_cli.compare.read import RETURN, Run

FINAL_EVALUATION = "final evaluation of the last policy"
TRAINING_RETURN = "mean return of the last 100 training episodes"
LAST_TENTH = "mean return over the last tenth of the steps"
TAIL = 0.1
FRESH_BEST = "best policy by evaluations in training, evaluated again on fresh episodes"
PEAK = (
    "highest point of the curve of returns (chosen and reported on the same episodes: optimistic)"
)


@dataclass(frozen=True)
class Protocol:
    """final, best: what the numbers are, one kind for all runs. notes: why not a better kind."""

    final: str
    best: str
    notes: list[str]


def choose_protocol(runs: Sequence[Run]) -> Protocol:
    """Final evaluations if every run has one of the same kind, else training returns for all, of
    the last 100 episodes if every run tells them: two kinds of numbers are never compared with
    each other."""
    notes = []
    without = [run for run in runs if final_evaluation(run) is None]
    kinds = {run.config.get("eval.deterministic") for run in runs}
    final = FINAL_EVALUATION
    if without or len(kinds) > 1:
        final = TRAINING_RETURN
        why = (
            f"{len(without)} of {len(runs)} runs have no final evaluation (e.g. {without[0].path})"
            if without
            else "some runs were evaluated with sampled and some with deterministic actions"
        )
        untold = [run for run in runs if run.tool and RETURN not in run.columns]
        if untold:
            final = LAST_TENTH
            why += f", and {untold[0].path} does not tell the returns of single episodes"
        notes.append(f"Final performance is the {final}, because {why}.")
    else:
        episodes = sorted({int(final_evaluation(run)["episodes"]) for run in runs})
        if len(episodes) > 1:
            notes.append(f"Final evaluations have from {episodes[0]} to {episodes[-1]} episodes.")
    fresh = final == FINAL_EVALUATION and all(best_evaluation(run) is not None for run in runs)
    return Protocol(final, FRESH_BEST if fresh else PEAK, notes)


def final_evaluation(run: Run) -> Any:
    """The line of eval.jsonl that training wrote for its last policy, None without one.

    The first line of that step and kind: trpo-eval may have added others behind it, and lines with
    "checkpoint" are of another policy.
    """
    for line in run.evaluations:
        if line.get("step") == run.steps and _is_number(line.get("return_mean")):
            return line
    return None


def best_evaluation(run: Run) -> Any:
    """The evaluation of the best checkpoint on episodes that had no part in choosing it."""
    lines = [line for line in run.evals if line.get("checkpoint") == "best"]
    return lines[-1] if lines and _is_number(lines[-1].get("return_mean")) else None


def final_score(run: Run, protocol: Protocol) -> float:
    if protocol.final == FINAL_EVALUATION:
        return float(final_evaluation(run)["return_mean"])
    if protocol.final == LAST_TENTH:
        return last_tenth(run)
    values = run.column(RETURN)
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else math.nan


def last_tenth(run: Run) -> float:
    """Mean of the training returns behind nine tenths of the steps, weighted by the episodes behind
    them; of the last one where none lies there, NaN without any."""
    returns = run.column(TRAIN_CURVE)
    good = np.isfinite(returns)
    if not good.any():
        return math.nan
    steps, returns = run.columns["step"][good], returns[good]
    weights = np.fmax(run.column("train/episodes")[good], 1.0)
    late = steps > min((1.0 - TAIL) * run.steps, steps[-2] if steps.size > 1 else -1.0)
    return float(np.average(returns[late], weights=weights[late]))


def best_score(run: Run, protocol: Protocol, returns: Curve) -> float:
    if protocol.best == FRESH_BEST:
        return float(best_evaluation(run)["return_mean"])
    return float(returns.y.max()) if not returns.empty else math.nan


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
