from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.support.synthetic import write_run
from trpo_cli.compare.read import find_runs
from trpo_cli.compare.scores import choose_protocol
from trpo_cli.compare.sweep import Sweep, find_sweeps, importance_of, levels_of


def sweeps(folder: Path) -> list[Sweep]:
    runs = find_runs([str(folder)]).runs
    return find_sweeps(runs, choose_protocol(runs))


class TestImportance:
    def test_is_scipys_analysis_of_variance(self):
        rng = np.random.default_rng(0)
        values = [0.1] * 5 + [0.2] * 4 + [0.4] * 6
        finals = rng.normal(size=15) + 3 * np.array(values)
        members = [finals[np.array(values) == v] for v in (0.1, 0.2, 0.4)]
        found = importance_of("k", values, list(finals))
        assert found.p == pytest.approx(stats.f_oneway(*members).pvalue, rel=1e-9)
        between = sum(m.size * (m.mean() - finals.mean()) ** 2 for m in members)
        assert found.share == pytest.approx(between / (finals.var() * 15))
        assert found.levels == 3

    def test_by_chance_is_the_mean_share_of_a_key_without_effect(self):
        """2,000 sets of 12 runs at 4 levels: the share is Beta(1.5, 4), of deviation 0.17, so that
        its mean has a standard error of 0.004."""
        rng, values = np.random.default_rng(1), [1, 2, 3, 4] * 3
        found = [importance_of("k", values, list(rng.normal(size=12))) for _ in range(2000)]
        assert found[0].by_chance == pytest.approx(3 / 11)
        assert np.mean([f.share for f in found]) == pytest.approx(3 / 11, abs=0.015)
        # And its p-values are uniform.
        assert np.mean([f.p < 0.05 for f in found]) == pytest.approx(0.05, abs=0.02)

    def test_a_key_that_decides_everything(self):
        found = importance_of("k", ["a", "a", "b", "b"], [1.0, 1.0, 2.0, 2.0])
        assert found.share == 1.0 and math.isnan(found.p)  # no spread to test with

    def test_runs_that_all_agree(self):
        assert math.isnan(importance_of("k", [1, 2], [3.0, 3.0]).share)

    def test_many_numbers_become_quarters(self):
        values = [float(v) for v in range(12)]
        assert levels_of(values) == ["0"] * 3 + ["1"] * 3 + ["2"] * 3 + ["3"] * 3
        assert levels_of([0.1, 0.2, 0.1]) == ["0.1", "0.2", "0.1"]
        assert levels_of([[64, 64], [32], None]) == ["[64,64]", "[32]", "null"]


class TestSweep:
    def test_ranked_with_what_the_best_is_ahead_of(self, tmp_path):
        number = 0
        for kl, mean in ((0.005, 100.0), (0.01, 300.0), (0.02, 295.0)):
            for seed, noise in enumerate((-10.0, 0.0, 10.0, 5.0)):
                write_run(tmp_path / str(number), seed=seed, algo__max_kl=kl, final=mean + noise)
                number += 1
        (found,) = sweeps(tmp_path)
        assert (found.env, found.algo, found.keys) == ("Hopper-v4", "trpo", ["algo.max_kl"])
        assert [s.values["algo.max_kl"] for s in found.settings] == [0.01, 0.02, 0.005]
        assert [s.worse for s in found.settings] == [False, False, True]
        assert found.settings[0].interval.value == pytest.approx(301.25)
        assert found.importance[0].share > 0.9 and found.importance[0].p < 1e-6
        assert len(found.warnings) == 1 and "fresh seeds" in found.warnings[0]

    def test_too_little_to_say(self, tmp_path):
        rng = np.random.default_rng(2)
        for i in range(5):
            kl, rate = (float(v) for v in rng.random(2))
            write_run(
                tmp_path / str(i),
                seed=i,
                final=float(rng.normal()),
                algo__max_kl=kl,
                value__learning_rate=rate,
            )
        (found,) = sweeps(tmp_path)
        text = " ".join(found.warnings)
        assert "Too little to say: 5 settings and only 1 seed" in text
        assert "5 runs cannot tell 2 keys apart" in text
        assert "No setting can be told from the best" in text

    def test_seeds_alone_are_no_sweep_and_algorithms_are_sweeps_of_their_own(self, tmp_path):
        for i in range(3):
            write_run(tmp_path / "ppo" / str(i), "ppo", seed=i)
        assert sweeps(tmp_path) == []
        for i in range(3):
            write_run(tmp_path / "trpo" / str(i), "trpo", seed=i, algo__max_kl=0.1 * (i + 1))
        write_run(tmp_path / "vine", seed=0, sampler__name="vine", sampler__num_envs=4)
        assert [(t.algo, t.keys) for t in sweeps(tmp_path)] == [("trpo", ["algo.max_kl"])]
