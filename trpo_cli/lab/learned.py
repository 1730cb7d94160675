"""What runs of ``trpo-run`` on `trpo_cli/LQR-v0` have learned, put beside the exact answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trpo_cli.errors import UserError
from trpo_cli.lab.gain_descent import Rule
from trpo_cli.runs.checkpoint import load, step_of
from trpo_cli.runs.directory import CHECKPOINTS, CONFIG, METRICS, require
from trpo_cli.simulators.lqr.systems import LinearSystem, make_system
from trpo_cli.untrusted import parse_json, parse_yaml

HORIZON = 100
"""Steps of an episode where the run sets no limit; that of the environment's registration."""


@dataclass(frozen=True)
class LearnedRun:
    """A run's logged curve, and the gains in its checkpoints.

    iterations, returns: one per row of metrics.jsonl in which episodes ended. saved: iteration ->
    (gain (m, n), log standard deviations (m,)) of the checkpoints that are still there.
    rule: the update in expectation, None where it has none that is simple.
    """

    name: str
    system: LinearSystem
    algo: str
    horizon: int
    iterations: np.ndarray
    returns: np.ndarray
    saved: dict[int, tuple[np.ndarray, np.ndarray]]
    start_log_std: float
    rule: Rule | None

    @property
    def last(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and log standard deviations at the end."""
        return self.saved[max(self.saved)]


def read_run(path: str) -> LearnedRun:
    """Raises `UserError` for a folder that is no run, or one whose policy is no gain: another
    environment, another policy, a constant term or normalised observations."""
    folder = require(path)
    try:
        config = parse_yaml((folder / CONFIG).read_text(encoding="utf-8"))
        env, policy, algo = config["env"], config["policy"], config["algo"]
        _check(path, env["id"], policy)
        system = make_system(**env["kwargs"], discount=config["discount"])
        rows = _rows(folder / METRICS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read as a run: {type(error).__name__}: {error}."
        ) from None
    checkpoints = sorted((folder / CHECKPOINTS).glob("step_*"), key=step_of)
    saved = dict(_gain(checkpoint, system) for checkpoint in checkpoints)
    if not rows or not saved:
        raise UserError(f"{path} has no episode or no checkpoint yet; let it run for longer.")
    return LearnedRun(
        name=path,
        system=system,
        algo=algo["name"],
        horizon=env["max_episode_steps"] or HORIZON,
        iterations=np.array([row["iteration"] for row in rows]),
        returns=np.array([row["train/return_mean"] for row in rows]),
        saved=saved,
        start_log_std=policy["init_log_std"],
        rule=_rule(algo, config),
    )


def _check(path: str, env_id: str, policy: dict[str, Any]) -> None:
    if not env_id.endswith("trpo_cli/LQR-v0"):
        raise UserError(f"{path} is a run of env={env_id}, not of env=trpo_cli/LQR-v0.")
    wanted = {"name": "linear", "bias": False, "normalize_observations": False}
    for key, value in wanted.items():
        if policy.get(key) != value:
            said = "policy" if key == "name" else f"policy.{key}"
            raise UserError(
                f"{path} was made with {said}={policy.get(key)}, and its policy is no gain; "
                "train with +experiment=lqr (policy=linear policy.bias=false "
                "policy.normalize_observations=false)."
            )


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows in which episodes ended; a line that a running process has not finished is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    rows = [parse_json(line) for line in lines]
    return [row for row in rows if row.get("train/return_mean") is not None]


def _gain(checkpoint: Path, system: LinearSystem) -> tuple[int, tuple[np.ndarray, np.ndarray]]:
    """The policy's parameters are W (n, m) by rows, with u = x W, then log sigma (m,)."""
    tensors, state = load(checkpoint)
    n, m = system.states, system.actions
    flat = np.asarray(tensors["policy/parameters"], dtype=np.float64)
    if len(flat) != n * m + m:
        raise UserError(f"{checkpoint} does not fit its run: {len(flat)} parameters.")
    return int(state["iteration"]), (-flat[: n * m].reshape(n, m).T, flat[n * m :])


def _rule(algo: dict[str, Any], config: dict[str, Any]) -> Rule | None:
    """The rule in expectation: plain and natural steps of a size that does not change, from the
    states of whole trajectories, each counted alike."""
    advantage = config["advantage"]
    if algo.get("schedule") != "constant" or config["sampler"]["name"] != "single_path":
        return None
    if advantage.get("discount_states") or algo.get("entropy_coef"):
        return None
    normalised = algo.get("step_rule") == "normalized" or algo["name"] == "trpo"
    if algo["name"] in ("npg", "trpo") and (normalised or not advantage["standardize"]):
        max_kl = algo["max_kl"] if normalised else None
        return Rule("npg", algo.get("step_size", 0.0), max_kl, algo["damping"])
    plain = algo["name"] == "vpg" and algo.get("optimizer") == "sgd"
    if plain and not advantage["standardize"]:
        return Rule("vpg", algo["learning_rate"])
    return None
