"""Run directories as trpo-run leaves them, made of formulas: cheap, and with known answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

VERSIONS = {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "gymnasium": "1.4.0"}
VERSIONS |= {"mujoco": "3.17.0", "ale-py": "0.12.1"}
RULES: dict[str, dict[str, Any]] = {
    "vpg": {"learning_rate": 1e-3, "optimizer": "adam", "schedule": "constant"},
    "npg": {"step_rule": "normalized", "max_kl": 0.01, "schedule": "constant"},
    "trpo": {"max_kl": 0.01, "schedule": "constant", "backtrack_ratio": 0.8, "max_backtracks": 10},
    "ppo": {"clip_range": 0.2, "epochs": 10, "learning_rate": 3e-4, "schedule": "cooldown"},
    "dual": {"max_kl": 0.01, "epochs": 10, "learning_rate": 3e-4, "schedule": "cooldown"},
}
RETURNS = ("train/return_recent", "train/return_mean")
for rule in ("npg", "trpo"):
    RULES[rule] |= {"cg_iterations": 10, "damping": 0.1}


def config(algo: str, env: str, seed: int, steps: int, changes: dict[str, Any]) -> dict[str, Any]:
    """The nested settings; changes: flat keys."""
    nested: dict[str, Any] = {
        "seed": seed,
        "total_steps": steps,
        "discount": 0.99,
        "threads": 1,
        "env": {"id": env, "kwargs": {}, "max_episode_steps": None},
        "sampler": {"name": "single_path", "num_envs": 16, "steps_per_env": 128},
        "algo": {"name": algo, **copy.deepcopy(RULES[algo])},
        "policy": {"name": "mlp", "hidden_sizes": [64, 64]},
        "value": {"name": "mlp", "learning_rate": 1e-3},
        "eval": {"every": 0, "episodes": 5, "deterministic": False},
        "checkpoint": {"every": 0, "minutes": 2.0},
    }
    for key, value in changes.items():
        place = nested
        *path, last = key.split(".")
        for name in path:
            place = place[name]
        place[last] = value
    return nested


def write_run(
    path: Path,
    algo: str = "trpo",
    env: str = "Hopper-v4",
    seed: int = 0,
    *,
    final: float = 1000.0,
    start: float = 20.0,
    rows: int = 12,
    steps: int = 24_000,
    curve: Callable[[np.ndarray], np.ndarray] | None = None,
    row: Callable[[int], dict[str, Any]] = lambda i: {},
    evals: Sequence[dict[str, Any]] | None = None,
    status: str = "finished",
    versions: dict[str, str] | None = None,
    backend: str = "mujoco",
    **changes: Any,
) -> Path:
    """One run; its training return rises from `start` to `final` as `curve` (of [0, 1]) says.

    row: further columns of row i. evals: lines of eval.jsonl, one final evaluation by default,
    with a mean of `final`. changes: settings, dots written as __.
    """
    path.mkdir(parents=True)
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    nested = config(algo, env, seed, steps, settings)
    (path / "config.yaml").write_text(yaml.safe_dump(nested))
    share = np.arange(1, rows + 1) / rows
    height = (share if curve is None else curve(share)) * (final - start) + start
    lines = []
    for i in range(rows):
        lines.append({
            "step": round(steps * share[i]), "iteration": i + 1, "seconds": 2.0 * (i + 1),
            **dict.fromkeys(RETURNS, float(height[i]) if i else None),
            "train/episodes": 10 if i else 0,
            **update(algo, i), **row(i),
        })  # fmt: skip
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if evals is None:
        evals = [evaluation(lines[-1]["step"], final)]
    (path / "eval.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evals))
    manifest = {
        "format": 1, "status": status, "reason": None, "step": steps, "command": "trpo-run",
        "seed": seed, "device": "cpu", "backend": backend, "version": "0.1.0",
        "versions": VERSIONS,
    }  # fmt: skip
    for name, version in (versions or {}).items():
        if name == "trpo_cli":
            manifest["version"] = version
        else:
            manifest["versions"] = {**VERSIONS, name: version}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def evaluation(step: int, mean: float, **more: Any) -> dict[str, Any]:
    return {
        "step": step, "deterministic": False, "episodes": 5, "return_mean": mean,
        "return_std": 1.0, "returns": [mean] * 5, "seeds": [1, 2, 3, 4, 5], **more,
    }  # fmt: skip


def update(algo: str, i: int) -> dict[str, Any]:
    """A row's measurements of its update, as the algorithm of that name reports them."""
    found: dict[str, Any] = {
        "policy/kl": 0.008, "policy/kl_max": 0.05, "policy/entropy": 1.0 - 0.01 * i,
        "policy/surrogate_before": 0.0, "policy/surrogate_after": 0.05,
        "value/loss": 0.5, "value/explained_variance": 0.8,
    }  # fmt: skip
    if algo in ("npg", "trpo"):
        found |= {
            "trust_region/accepted": 1, "trust_region/reason": "", "trust_region/backtracks": 0,
            "trust_region/step_fraction": 1.0, "trust_region/predicted_kl": 0.01,
            "trust_region/expected_improvement": 0.05, "trust_region/actual_improvement": 0.05,
            "trust_region/in_sample_improvement": None if i % 10 else 0.08,
            "trust_region/held_out_improvement": None if i % 10 else 0.004,
            "trust_region/cg_residual": 0.01, "trust_region/cg_iterations": 10,
            "trust_region/curvature": 0.2,
        }  # fmt: skip
    else:
        found |= {"policy/skipped": ""}
    return found | ({"policy/clip_fraction": 0.1} if algo == "ppo" else {})


def write_sample(
    folder: Path, samples: Mapping[tuple[str, str], Sequence[float]], **more: Any
) -> Path:
    """Runs of several groups: (env, algo) -> final performance of seeds 0, 1, ..."""
    for (env, algo), finals in samples.items():
        for seed, final in enumerate(finals):
            where = folder / env.replace("/", "_") / algo / str(seed)
            write_run(where, algo, env, seed, final=float(final), **more)
    return folder
