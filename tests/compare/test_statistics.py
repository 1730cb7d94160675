"""Against scipy, against hand-made cases, and against the definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trpo_cli.compare.statistics import (
    aggregate_interval,
    censored_median,
    detectable_difference,
    holm,
    improvement_interval,
    mean_band,
    mean_interval,
    permutation_test,
    prediction_interval,
    probability_of_improvement,
    welch,
)

X = np.array([3.1, 2.2, 5.9, 4.0, 4.4])
Y = np.array([1.0, 2.9, 2.1])


class TestMean:
    def test_is_scipys_t_interval(self):
        found = mean_interval(X)
        low, high = stats.t.interval(0.95, 4, X.mean(), stats.sem(X))
        assert (found.n, found.value, found.std) == (5, X.mean(), X.std(ddof=1))
        assert [found.low, found.high] == pytest.approx([low, high], rel=1e-12)

    def test_one_run_has_no_interval(self):
        found = mean_interval([7.0])
        assert (found.n, found.value) == (1, 7.0)
        assert all(math.isnan(v) for v in (found.std, found.low, found.high))

    def test_a_band_is_an_interval_at_each_point(self):
        curves = np.random.default_rng(0).normal(size=(4, 6))
        mean, low, high = mean_band(curves)
        for i in range(6):
            one = mean_interval(curves[:, i])
            expected = [one.value, one.low, one.high]
            assert [mean[i], low[i], high[i]] == pytest.approx(expected, rel=1e-12)


class TestPrediction:
    def test_a_mean_is_outside_when_students_test_says_so(self):
        """Of 200 pairs of samples, some of which differ."""
        random = np.random.default_rng(0)
        outside = 0
        for shift in np.linspace(0.0, 4.0, 200):
            known, new = random.normal(size=5), random.normal(shift, size=3)
            low, high = prediction_interval(known, new)
            p = stats.ttest_ind(known, new).pvalue
            assert (low <= new.mean() <= high) == (p >= 0.05)
            outside += p < 0.05
        assert 50 < outside < 150

    def test_of_one_new_run_it_is_the_textbooks(self):
        """2, 4, 6, 8, 10: m = 6, s^2 = 10; t with 4 degrees of freedom is 2.776445."""
        half = 2.776445 * math.sqrt(10.0 * (1 + 1 / 5))
        found = prediction_interval([2.0, 4.0, 6.0, 8.0, 10.0], [99.0])
        assert found == pytest.approx((6 - half, 6 + half), rel=1e-6)

    def test_two_runs_in_all_have_none(self):
        assert all(math.isnan(v) for v in prediction_interval([7.0], [8.0]))


class TestDifference:
    def test_is_scipys_welch(self):
        found, expected = welch(X, Y), stats.ttest_ind(X, Y, equal_var=False)
        low, high = expected.confidence_interval(0.95)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
        assert [found.low, found.high] == pytest.approx([low, high], rel=1e-10)
        assert found.value == pytest.approx(X.mean() - Y.mean())

    def test_exchanging_the_samples_changes_the_sign_only(self):
        one, two = welch(X, Y), welch(Y, X)
        assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low))
        assert one.p == pytest.approx(two.p)
        assert permutation_test(X, Y) == permutation_test(Y, X)

    def test_samples_without_spread(self):
        assert welch([500.0] * 3, [500.0] * 3).p == 1.0
        assert math.isnan(welch([500.0] * 3, [400.0] * 3).p)
        assert permutation_test([500.0] * 3, [400.0] * 3) == pytest.approx(0.1)
        # One of them without spread is an ordinary case: a t test of the other against 500.
        expected = stats.ttest_1samp([390.0, 400.0, 415.0], 500.0).pvalue
        assert welch([500.0] * 3, [390.0, 400.0, 415.0]).p == pytest.approx(expected)

    def test_a_single_run_allows_no_test(self):
        found = welch([1.0], Y)
        assert found.value == pytest.approx(1.0 - Y.mean())
        assert math.isnan(found.p) and math.isnan(permutation_test([1.0], Y))

    def test_permutations_are_scipys(self):
        expected = stats.permutation_test(
            (X, Y), lambda a, b: abs(a.mean() - b.mean()), alternative="greater", n_resamples=np.inf
        )
        assert permutation_test(X, Y) == pytest.approx(expected.pvalue)

    def test_smallest_permutation_p_values(self):
        # Two of the C(6, 3) = 20 and C(10, 5) = 252 labellings are as extreme as complete order.
        assert permutation_test([4, 5, 6], [1, 2, 3]) == pytest.approx(2 / 20)
        assert permutation_test(range(5, 10), range(5)) == pytest.approx(2 / 252)

    def test_random_permutations_approach_the_exact_value(self):
        """20,000 of C(20, 10) = 184,756 labellings. At p = 0.05 the standard error is 0.0015, that
        of the difference of two such samples 0.0022; four of them are the margin."""
        rng = np.random.default_rng(3)
        x, y = rng.normal(0.9, 1, 10), rng.normal(0, 1, 10)
        exact = stats.permutation_test(
            (x, y),
            lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
            vectorized=True,
            n_resamples=20_000,
            rng=1,
        ).pvalue
        assert permutation_test(x, y) == pytest.approx(exact, abs=0.009)


class TestHolm:
    def test_by_hand(self):
        # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1 and made monotone.
        assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])

    def test_missing_tests_do_not_count(self):
        adjusted = holm([math.nan, 0.02, 0.04])
        assert math.isnan(adjusted[0])
        assert adjusted[1:] == pytest.approx([0.04, 0.04])

    def test_no_tests(self):
        assert holm([]) == []


class TestImprovement:
    def test_is_the_mann_whitney_statistic(self):
        u = stats.mannwhitneyu(X, Y).statistic
        assert probability_of_improvement([(X, Y)]) == pytest.approx(u / (X.size * Y.size))

    def test_ties_count_half_and_environments_the_same(self):
        assert probability_of_improvement([([1, 2], [2])]) == 0.25
        assert probability_of_improvement([([1, 2], [2]), ([5], [3])]) == 0.625

    def test_the_interval_solves_newcombes_equation(self):
        found = improvement_interval([(X, Y)])
        n, m, z = X.size, Y.size, stats.norm.ppf(0.975)
        for theta in (found.low, found.high):
            odds = (1 - theta) / (2 - theta) + theta / (1 + theta)
            variance = theta * (1 - theta) / (n * m) * (1 + ((n + m) / 2 - 1) * odds)
            assert (found.value - theta) ** 2 == pytest.approx(z**2 * variance, rel=1e-6)
        assert found.low < found.value < found.high
        assert found.n == 3

    def test_all_of_one_above_all_of_the_other_still_has_an_interval(self):
        found = improvement_interval([([4, 5, 6], [1, 2, 3])])
        assert (found.value, found.high) == (1.0, 1.0)
        assert 0.3 < found.low < 0.7  # three runs a side say little
        opposite = improvement_interval([([1, 2, 3], [4, 5, 6])])
        assert opposite.high == pytest.approx(1.0 - found.low)


def interquartile_mean(strata):
    return aggregate_interval(strata).value


class TestInterquartileMean:
    def test_is_the_trimmed_mean_where_four_divides_the_number(self):
        scores = np.random.default_rng(1).normal(size=(3, 8))
        expected = stats.trim_mean(scores.ravel(), 0.25)
        assert interquartile_mean(list(scores)) == pytest.approx(expected, rel=1e-12)

    def test_scores_at_the_quartiles_count_in_part(self):
        # Of three, the outer ones lie to 1/12 of the weight within [1/4, 3/4], the middle to 4/12.
        assert interquartile_mean([[0.0, 1.0, 5.0]]) == pytest.approx((0 + 4 * 1 + 5) / 6)

    def test_environments_weigh_the_same_whatever_their_runs(self):
        few, many = [0.0, 1.0], [2.0, 3.0] * 5
        assert interquartile_mean([few, many]) == pytest.approx(interquartile_mean([few, [2, 3]]))

    def test_the_interval_is_made_of_the_bootstraps_spread(self):
        """For one environment of 4k scores scipy's bootstrap of the trimmed mean has the same
        standard error, up to Monte Carlo's 3% (two sets of 2,000 resamples: 1.6% each)."""
        scores = np.random.default_rng(2).normal(size=12)
        found = aggregate_interval([scores])
        oracle = stats.bootstrap(
            (scores,), lambda s, axis: stats.trim_mean(s, 0.25, axis=axis), n_resamples=5000, rng=0
        ).standard_error
        assert found.std == pytest.approx(oracle * math.sqrt(12 / 11), rel=0.07)
        half = stats.t.ppf(0.975, 11) * found.std
        assert [found.low, found.high] == pytest.approx([found.value - half, found.value + half])

    def test_a_single_run_leaves_no_interval(self):
        found = aggregate_interval([[1.0], [2.0, 3.0]])
        assert found.n == 1 and math.isnan(found.low)


class TestDetectable:
    def test_the_test_finds_it_as_often_as_said(self):
        """Power by scipy at the difference found."""
        delta = detectable_difference(X, Y)
        n, m = X.size, Y.size
        pooled = math.sqrt((4 * X.var(ddof=1) + 2 * Y.var(ddof=1)) / 6)
        shift = delta / (pooled * math.sqrt(1 / n + 1 / m))
        critical = stats.t.ppf(0.975, n + m - 2)
        power = stats.nct.sf(critical, n + m - 2, shift) + stats.nct.cdf(-critical, 6, shift)
        assert power == pytest.approx(0.8, abs=1e-6)

    def test_more_runs_find_less_and_stricter_tests_more(self):
        twice = detectable_difference(np.tile(X, 2), np.tile(Y, 2))
        assert twice < detectable_difference(X, Y) < detectable_difference(X, Y, alpha=0.005)

    def test_single_runs(self):
        assert math.isnan(detectable_difference([1.0], Y))


class TestCensoredMedian:
    def test_without_censoring_the_first_time_by_which_half_have_come(self):
        assert censored_median([5, 1, 3], [True] * 3) == 3
        assert censored_median([4, 1, 3, 2], [True] * 4) == 2

    def test_runs_that_never_came_count_as_later(self):
        assert censored_median([5, 9, 9], [True, False, False]) == math.inf
        assert censored_median([5, 6, 9], [True, True, False]) == 6

    def test_kaplan_meier_by_hand(self):
        # At 2: 1 of 5, S = 4/5. One is lost at 3. At 4: 1 of 3, S = 8/15. At 6: 1 of 2, S = 4/15.
        assert censored_median([2, 3, 4, 6, 7], [True, False, True, True, False]) == 6

    def test_is_scipys(self):
        rng = np.random.default_rng(5)
        times, seen = rng.integers(1, 30, 40).astype(float), rng.random(40) < 0.7
        data = stats.CensoredData.right_censored(times, ~seen)
        survival = stats.ecdf(data).sf
        expected = survival.quantiles[np.flatnonzero(survival.probabilities <= 0.5)[0]]
        assert censored_median(list(times), list(seen)) == expected
