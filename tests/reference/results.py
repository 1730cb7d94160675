"""Results made of a formula, for tests of the store and of what is drawn from it."""

from __future__ import annotations

from typing import Any

from trpo_cli.reference.store import Evaluation, Result, spaced


def result(seed: int = 0, final: float = 1000.0, **changes: Any) -> Result:
    """A run whose return rises from 0 to `final` along a line."""
    steps = spaced(2048.0, 1e6, 50)
    usual: dict[str, Any] = {
        "algo": "trpo", "sampler": "single_path", "env": "Hopper-v4", "total_steps": 1_000_000,
        "settings": {"algo.max_kl": 0.01, "discount": 0.99}, "version": "0.1.0",
        "commit": "0123456789", "versions": {"mujoco": "3.17.0"}, "cpu": "AMD EPYC",
        "updates": 489, "seconds": 300.0, "cpu_seconds": 290.5, "steps": steps,
        "returns": final * steps / 1e6, "sampled": Evaluation(final, 10.0, 100),
        "deterministic": Evaluation(final + 100.0, 1.0, 100), "kl_share": 0.9998,
        "normalizer_kl": (0.001, 1e-6),
    }  # fmt: skip
    return Result(**{**usual, "seed": seed, **changes})
