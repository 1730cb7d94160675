"""Which curve stands for learning, and how the training episodes are smoothed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic import evaluation, write_run
from trpo_cli.compare.metric import ENOUGH, EVAL_CURVE, TRAIN_CURVE, Metric, choose_metric, smooth
from trpo_cli.compare.read import find_runs

UNKNOWN = np.full(100, np.nan)


class TestSmooth:
    def test_a_straight_line_stays_as_it_is_up_to_both_ends(self):
        line = np.linspace(-5.0, 7.0, 100)
        assert smooth(line, UNKNOWN) == pytest.approx(line)

    def test_two_in_a_hundred_to_either_side(self):
        jump = np.repeat([0.0, 1.0], 50)
        # The windows of 48, ..., 51 reach over the jump between 49 and 50: 1, 2, 3, 4 of 5 behind.
        assert smooth(jump, UNKNOWN)[47:53] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
        assert smooth(jump, UNKNOWN)[[0, -1]].tolist() == [0.0, 1.0]

    def test_every_episode_weighs_the_same(self):
        episodes = np.array([1.0, 1.0, 8.0])
        assert smooth(np.array([0.0, 0.0, 5.0]), episodes)[1] == pytest.approx(40.0 / 10.0)


class TestChoice:
    def make(self, folder: Path, evaluations: int) -> None:
        lines = [evaluation(24_000 // evaluations * (k + 1), 1.0) for k in range(evaluations)]
        write_run(folder, seed=evaluations, evals=lines)

    def test_evaluations_where_every_run_has_enough(self, tmp_path):
        self.make(tmp_path / "a", ENOUGH)
        self.make(tmp_path / "b", ENOUGH + 1)
        runs = find_runs([str(tmp_path)]).runs
        assert choose_metric(runs, None) == Metric(EVAL_CURVE)
        assert choose_metric(runs, "policy/kl") == Metric("policy/kl")

    def test_training_episodes_where_one_has_not(self, tmp_path):
        self.make(tmp_path / "a", ENOUGH)
        self.make(tmp_path / "b", ENOUGH - 1)
        runs = find_runs([str(tmp_path)]).runs
        assert choose_metric(runs, None) == Metric(TRAIN_CURVE, smoothed=True)
