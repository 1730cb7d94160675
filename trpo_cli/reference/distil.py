"""From a run directory to what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trpo_cli.compare import align
from trpo_cli.compare.groups import BOOKKEEPING, used
from trpo_cli.compare.metric import TRAIN_CURVE, Metric
from trpo_cli.compare.read import DIAGNOSTICS, PROGRESS, Run, read_run
from trpo_cli.compare.scores import final_evaluation
from trpo_cli.compare.trust_region import kl_used
from trpo_cli.env_ids import is_game
from trpo_cli.errors import UserError
from trpo_cli.reference.store import TUNING_SEEDS, Evaluation, Result, Trial, settings_id, spaced

EPISODES, GAMES = 100, 30
"""Of the evaluations of the last policy, and of those on an Atari game: one can last half an hour
of play."""
POINTS = 60
CURVE = Metric(TRAIN_CURVE, smoothed=True)
"""Every run has it, whether or not it was evaluated in training."""
EACH = Metric(TRAIN_CURVE)
"""The same of each iteration."""
NORMALIZER_KL = "policy/normalizer_kl"
ELSEWHERE = ("env.id", "total_steps", "algo.name", "sampler.name")
"""Settings that are fields of a result."""


def read_finished(path: Path) -> Run:
    """A run whose rows are all there; raises `UserError` for any other."""
    try:
        run = read_run(path, str(path), (*PROGRESS, *DIAGNOSTICS, NORMALIZER_KL))
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path} cannot be read as a run: {error}.") from error
    if not run.finished:
        raise UserError(
            f"{path} is {run.manifest.get('status')} at {run.steps:,} steps: only finished runs "
            "are kept. trpo-run resume=RUN_DIR goes on with it."
        )
    if "rows" not in run.manifest:
        raise UserError(
            f"{path} was begun by an older version, whose rows carry no chain: a change to them "
            "would go unnoticed. Train it again."
        )
    return run


def result_of(run: Run, cpu_seconds: float | None = None) -> Result:
    """What is stored of a finished run; raises `UserError` without evaluations."""
    steps, returns = _points(run)
    libraries = ["numpy", *(name for name in ("gymnasium", "mujoco", "ale-py") if used(run, name))]
    machine = run.manifest.get("machine", {})
    return Result(
        algo=rule_of(run)[0],
        sampler=rule_of(run)[1],
        env=run.env,
        total_steps=int(run.config["total_steps"]),
        seed=int(run.seed),
        settings=settings_of(run.config),
        version=str(run.manifest.get("version")),
        commit=commit_of(run),
        versions={name: str(run.versions.get(name)) for name in libraries},
        cpu=str(machine.get("cpu", "")),
        updates=int(run.columns["iteration"][-1]),
        seconds=float(run.columns["seconds"][-1]),
        cpu_seconds=cpu_seconds,
        steps=steps,
        returns=returns,
        sampled=_evaluation(run, deterministic=False),
        deterministic=_evaluation(run, deterministic=True),
        kl_share=_largest(kl_used(run)),
        normalizer_kl=_normalizer_kl(run.column(NORMALIZER_KL)),
    )


def trial_of(run: Run, changes: str) -> Trial:
    """What is stored of a run with a seed for tuning. changes: from the defaults, in words."""
    final = final_evaluation(run)
    if final is None:
        raise UserError(f"{run.path} has no evaluation of its last policy (eval.episodes).")
    curve = curve_of(run)
    return Trial(
        env=run.env,
        algo=rule_of(run)[0],
        sampler=rule_of(run)[1],
        total_steps=int(run.config["total_steps"]),
        changes=changes,
        settings=settings_id(settings_of(run.config)),
        seed=int(run.seed),
        final=float(final["return_mean"]),
        area=align.mean_height(curve, float(curve.x[0]), float(curve.x[-1])),
        seconds=float(run.columns["seconds"][-1]),
        version=str(run.manifest.get("version")),
        commit=commit_of(run),
    )


def rule_of(run: Run) -> tuple[str, str]:
    """Names of the algorithm and the sampler."""
    return str(run.config["algo.name"]), str(run.config.get("sampler.name") or "single_path")


def is_trial(run: Run) -> bool:
    return int(run.seed) >= TUNING_SEEDS


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """config: flat. What decides what a run is a sample of, besides the fields of a result."""
    game = is_game(str(config["env.id"]))
    return {
        key: value
        for key, value in config.items()
        if key not in ELSEWHERE
        and (key, value) != ("init", None)  # older runs did not know it
        and not BOOKKEEPING.match(key)
        and (game or not key.startswith("env.atari."))
    }


def curve_of(run: Run, metric: Metric = CURVE) -> align.Curve:
    """The return of the training episodes over steps; raises `UserError` where none ended."""
    curve = align.curves_of(run, metric)["steps"]
    if curve.empty:
        raise UserError(f"No training episode of {run.path} ended, so it has no curve.")
    return curve


def _points(run: Run) -> tuple[align.Floats, align.Floats]:
    """steps, returns (points,): at each the mean over half the way to its neighbours, as far to
    either side, so that the curve neither lags nor leads and its fast beginning is kept."""
    curve = curve_of(run, EACH)
    steps = spaced(float(curve.x[0]), float(curve.x[-1]), POINTS)
    gaps = np.diff(steps)
    half = 0.5 * np.minimum(np.append(0.0, gaps), np.append(gaps, 0.0))
    ends = zip(steps - half, steps + half, strict=True)
    return steps, np.array([align.mean_height(curve, low, high) for low, high in ends])


def commit_of(run: Run) -> str:
    git = run.manifest.get("git") or {}
    return str(git.get("commit") or "")[:10] + ("-dirty" if git.get("dirty") else "")


def episodes_of(env: str) -> int:
    """How many an evaluation has to have on an environment."""
    return GAMES if is_game(env) else EPISODES


def is_evaluated(run: Run) -> bool:
    """Whether its last policy was evaluated both ways, with enough episodes."""
    return None not in (_find(run, deterministic=True), _find(run, deterministic=False))


def _find(run: Run, deterministic: bool) -> Evaluation | None:
    """The first of the last policy that has enough episodes: another seed is no second chance."""
    for line in run.evals:
        if line["step"] != run.steps or "checkpoint" in line:
            continue
        if line.get("deterministic") is deterministic and line["episodes"] >= episodes_of(run.env):
            return Evaluation(line["return_mean"], line["return_std"], line["episodes"])
    return None


def _evaluation(run: Run, deterministic: bool) -> Evaluation:
    found = _find(run, deterministic)
    if found is not None:
        return found
    how, episodes = "deterministic" if deterministic else "sampled", episodes_of(run.env)
    raise UserError(
        f"{run.path} has no evaluation of its last policy with {episodes} episodes and {how} "
        f"actions. trpo-eval {run.path} --episodes {episodes} makes it."
    )


def _normalizer_kl(values: align.Floats) -> tuple[float, float] | None:
    first, later = _largest(values[:1]), _largest(values[1:])
    return None if first is None or later is None else (first, later)


def _largest(values: align.Floats) -> float | None:
    return float(np.nanmax(values)) if np.isfinite(values).any() else None
