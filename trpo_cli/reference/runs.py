"""Stored results as runs that `trpo-compare` analyses and draws like any others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trpo_cli.compare.metric import TRAIN_CURVE
from trpo_cli.compare.read import Run
from trpo_cli.reference.store import Result


def as_run(result: Result) -> Run:
    """A finished run with a row for each point of the stored curve. Its seconds and updates, of
    which only the last is stored, grow evenly."""
    share = result.steps / result.steps[-1]
    config = {
        **result.settings,
        "seed": result.seed,
        "total_steps": result.total_steps,
        "env.id": result.env,
        "algo.name": result.algo,
        "sampler.name": result.sampler,
        "eval.deterministic": False,
    }
    evaluation = {
        "step": int(result.steps[-1]),
        "deterministic": False,
        "episodes": result.sampled.n,
        "return_mean": result.sampled.mean,
    }
    return Run(
        Path(result.env, result.rule, f"seed_{result.seed}"),
        "reference",
        config,
        {"status": "finished", "version": result.version, "versions": result.versions},
        {
            "step": result.steps,
            "seconds": share * result.seconds,
            "iteration": share * result.updates,
            TRAIN_CURVE: np.asarray(result.returns),
        },
        {},
        [evaluation],
    )
