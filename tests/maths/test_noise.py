"""Noise that is correlated in time."""

import numpy as np
import pytest

from trpo_cli.maths.noise import coloured

LENGTH = 32


def covariance(exponent):
    """Exact, (T, T): the filter is linear, so its columns are what it makes of unit vectors."""
    matrix = coloured(np.eye(2 * LENGTH), exponent)
    return matrix @ matrix.T


class TestColoured:
    @pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
    def test_the_covariance_is_the_spectrums_cosine_sum(self, exponent):
        """By Wiener and Khinchin, and 1 without a lag: what each step sees is standard normal."""
        k = np.arange(2 * LENGTH)
        frequency = np.maximum(np.minimum(k, 2 * LENGTH - k), 1)
        power = frequency**-exponent / (frequency**-exponent).sum()
        lags = np.arange(LENGTH)
        correlation = np.cos(2.0 * np.pi * np.outer(lags, k) / (2 * LENGTH)) @ power
        assert correlation[0] == pytest.approx(1.0)
        expected = correlation[abs(lags[:, None] - lags[None, :])]
        np.testing.assert_allclose(covariance(exponent), expected, atol=1e-12)

    def test_without_an_exponent_nothing_changes(self):
        white = np.random.default_rng(0).standard_normal((2 * LENGTH, 3, 2))
        np.testing.assert_allclose(coloured(white, 0.0), white[:LENGTH], atol=1e-12)

    def test_neighbours_are_alike_and_ends_are_not(self):
        pink = covariance(1.0)
        assert pink[0, 1] > 0.5 > pink[0, -1]

    def test_columns_are_independent_and_keep_their_type(self):
        white = np.random.default_rng(0).standard_normal((2 * LENGTH, 2, 1), dtype=np.float32)
        both, alone = coloured(white, 1.0), coloured(white[:, 1:], 1.0)
        assert both.dtype == np.float32 and both.shape == (LENGTH, 2, 1)
        np.testing.assert_array_equal(both[:, 1:], alone)
