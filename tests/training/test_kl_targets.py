"""The rules with a KL target hold it where it matters: on a task, update after update."""

from __future__ import annotations

import numpy as np
import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.training.trainer import Training

UPDATES, SKIPPED = 60, 20  # the coefficient has to find its place first


def mean_kl(rule: str, *overrides: str) -> float:
    total = f"total_steps={2048 * 10_000}"  # far from the end: the step size stays
    training = Training(
        config_of(f"algo={rule}", "env=Hopper-v4", "seed=5", "threads=1", total, *overrides)
    )
    try:
        rows = [training.iterate() for _ in range(UPDATES)]
    finally:
        training.close()
    return float(np.mean([row["policy/kl"] for row in rows[SKIPPED:]]))


@pytest.mark.slow
class TestHopper:
    @pytest.mark.parametrize("target", [0.01, 0.03])
    def test_dual(self, target: float) -> None:
        """The mean over n updates is off by (lambda_n - lambda_0) / (n step), in units of the
        target: with lambda within 2 of its start, 0.1 for n = 40 and a step of 0.5."""
        found = mean_kl("dual", f"algo.max_kl={target}")
        assert found == pytest.approx(target, rel=0.15)

    @pytest.mark.parametrize("target", [0.01, 0.03])
    def test_ppo_penalty(self, target: float) -> None:
        """The rule leaves beta alone within a factor of 1.5, and no more is asked of the mean."""
        found = mean_kl("ppo_penalty", f"algo.kl_target={target}")
        assert target / 1.5 < found < 1.5 * target
