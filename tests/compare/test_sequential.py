"""Tests that may be looked at again and again: the looks, one look, all looks, several pairs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from trpo_cli.compare.sequential import (
    Design,
    decided,
    design,
    looks,
    order_p,
    path,
    smaller_p,
)
from trpo_cli.compare.statistics import least_permutation_p, permutation_test, welch

PLAN = Design((5, 8, 12, 20), 1, 0.05)


class TestDesign:
    def test_each_look_has_half_as_many_seeds_more(self) -> None:
        """5, ceil 7.5, ceil 12, and 18 is so near to 20 that it is left out."""
        assert looks(5, 20) == (5, 8, 12, 20)
        assert looks(7, 7) == (7,)

    def test_the_first_look_is_the_first_that_can_decide(self) -> None:
        """Two groups: 5 + 5 runs have a p-value of 2 / 252 at least and 4 looks, 0.032; 4 + 4 have
        2 / 70. Three groups have 3 pairs, so that it takes 2 / 924."""
        assert design(20, 1, 0.05) == Design((5, 8, 12, 20), 1, 0.05)
        assert 2 / math.comb(10, 5) <= 0.05 / 4 < 2 / math.comb(8, 4)
        three = design(20, 3, 0.05)
        assert three is not None and three.looks[0] == 6
        assert least_permutation_p(6, 6) <= three.alpha < least_permutation_p(5, 5)

    def test_too_few_seeds(self) -> None:
        """3 + 3 runs have 2 / 20 at least."""
        assert design(3, 1, 0.05) is None
        assert design(3, 1, 0.2) is not None

    def test_intervals_share_the_error_rate(self) -> None:
        assert Design((5, 8), 3, 0.06).alpha == pytest.approx(0.01)


class TestOneLook:
    @pytest.mark.parametrize("n", [3, 5, 7])
    def test_order_is_the_larger_of_both_tests(self, n: int) -> None:
        """All labellings are counted up to 7 + 7 runs, by both functions."""
        rng = np.random.default_rng(n)
        x, y = rng.exponential(size=(50, n)), rng.normal(0.5, 3.0, size=(50, n))
        found = order_p(x, y)
        for p, a, b in zip(found, x, y, strict=True):
            assert p == pytest.approx(max(welch(a, b).p, permutation_test(a, b)), rel=1e-9)

    def test_smaller_is_two_one_sided_tests_of_each_kind(self) -> None:
        rng = np.random.default_rng(0)
        x, y, d = rng.normal(size=4), rng.normal(size=4), 1.5
        found = []
        for a, b in ((x - d, y), (y - d, x)):
            pooled = np.concatenate([a, b])
            sums = [sum(pooled[list(c)]) for c in itertools.combinations(range(8), 4)]
            found.append(np.mean([s <= a.sum() + 1e-12 for s in sums]))
            found.append(stats.ttest_ind(a, b, equal_var=False, alternative="less").pvalue)
        assert float(smaller_p(x, y, d)) == pytest.approx(max(found), rel=1e-9)

    def test_without_spread_the_permutations_decide(self) -> None:
        best, worse = np.full(5, 500.0), np.full(5, 400.0)
        assert order_p(best, best) == 1.0
        assert order_p(best, worse) == pytest.approx(2 / math.comb(10, 5))
        assert smaller_p(best, best, 10.0) == pytest.approx(1 / math.comb(10, 5))
        assert smaller_p(best, worse, 100.0) == 1.0

    def test_scale_does_not_matter(self) -> None:
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=12), rng.normal(1.0, 2.0, size=12)
        assert order_p(1e6 * x + 1e8, 1e6 * y + 1e8) == pytest.approx(float(order_p(x, y)))
        assert smaller_p(1e-6 * x, 1e-6 * y, 1e-6) == pytest.approx(float(smaller_p(x, y, 1.0)))


def of(x: np.ndarray, y: np.ndarray, difference: float = math.nan, share: bool = False):
    return path(tuple(map(float, x)), tuple(map(float, y)), PLAN, difference, share)


class TestPath:
    rng = np.random.default_rng(3)
    x, y = rng.normal(1.0, 1.0, 20), rng.normal(0.0, 1.0, 20)

    def test_only_whole_looks_count(self) -> None:
        """Runs that were begun ahead change nothing, and neither does a group that is further."""
        assert of(self.x[:4], self.y).n == 0 and of(self.x[:4], self.y).p_order == 1.0
        ahead, whole = of(self.x[:11], self.y[:9]), of(self.x[:8], self.y[:8])
        assert repr(ahead) == repr(whole)  # of numbers some of which are NaN

    def test_the_smallest_p_of_the_looks_times_their_number(self) -> None:
        each = [float(order_p(self.x[:n], self.y[:n])) for n in PLAN.looks]
        for k, n in enumerate(PLAN.looks):
            expected = min(1.0, 4 * min(each[: k + 1]))
            assert of(self.x[:n], self.y[:n]).p_order == pytest.approx(expected)

    def test_the_order_is_that_of_the_look_that_speaks_for_it(self) -> None:
        """Five clear runs of x, then y takes over: what is decided stays."""
        x = np.concatenate([np.arange(5) + 100.0, np.full(3, -1000.0)])
        y = np.arange(8) + 0.0
        first, later = of(x[:5], y[:5]), of(x, y)
        assert later.p_order <= first.p_order <= 0.05
        assert later.x_leads and later.estimate.value < 0.0

    def test_a_share_is_fixed_at_the_first_look(self) -> None:
        """10% of the larger mean in magnitude, here that of y."""
        x, y = np.arange(8) + 10.0, np.arange(8) - 40.0
        y[5:] = 0.0
        assert of(x, y, 0.1, True).difference == pytest.approx(0.1 * 38.0)
        assert math.isnan(of(x[:3], y, 0.1, True).difference)
        assert of(x, y, 7.0).difference == 7.0

    def test_the_interval_is_welchs_at_the_corrected_level(self) -> None:
        found, expected = of(self.x, self.y).estimate, welch(self.x, self.y, 0.05 / 4)
        assert found == expected
        assert found.low < welch(self.x, self.y).low


def test_two_kinds_of_decisions_are_corrected_each_for_itself() -> None:
    """Holm over 3 pairs: 0.016 <= 0.05 / 3, then 0.02 <= 0.05 / 2, then 0.06 > 0.05."""
    marks = decided([0.02, 0.06, 0.016], [1.0, 0.01, math.nan], 0.05)
    assert marks == [(True, False), (False, True), (True, False)]
    assert decided([0.02, 0.06, 0.02], [1.0, 1.0, 1.0], 0.05) == [(False, False)] * 3


@pytest.mark.parametrize("shape", ["normal", "failing"])
def test_looking_again_and_again_keeps_the_error_rate(shape: str) -> None:
    """400 races of equal groups; the bound is four standard errors above 5%. Welch's test at 5% at
    each of the looks would be wrong in 12% of them."""
    rng = np.random.default_rng(7)
    samples = rng.normal(size=(2, 400, 20))
    if shape == "failing":
        samples += 5.0 * (rng.random(samples.shape) > 0.3)
    x, y = samples
    best = np.min([order_p(x[:, :n], y[:, :n]) for n in PLAN.looks], axis=0)
    wrong = np.mean(4.0 * best <= 0.05)
    assert wrong <= 0.05 + 4.0 * math.sqrt(0.05 * 0.95 / 400)
    assert np.mean(best <= 0.05) > wrong
