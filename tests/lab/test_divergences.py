"""Distances against scipy, numerical integration and hand calculations."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon

from trpo_cli.lab import divergences as d

GAUSSIANS = [
    ((0.0, 1.0), (0.0, 1.0)),
    ((0.0, 1.0), (1.5, 1.0)),
    ((0.0, 1.0), (0.5, 2.0)),
    ((-1.0, 0.3), (1.0, 0.5)),
    ((0.0, 2.0), (0.1, 0.2)),
]


def categoricals(seed: int, outcomes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    p, q = np.random.default_rng(seed).dirichlet(np.full(outcomes, 0.7), 2)
    return p, q


@pytest.mark.parametrize("seed", range(5))
class TestCategoricals:
    def test_kl_and_jensen_shannon(self, seed: int) -> None:
        p, q = categoricals(seed)
        assert d.kl(p, q) == pytest.approx(stats.entropy(p, q))
        assert d.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q) ** 2)

    def test_total_variation_is_the_most_telling_event(self, seed: int) -> None:
        p, q = categoricals(seed)
        events = [[bool(k >> a & 1) for a in range(6)] for k in range(64)]
        assert d.total_variation(p, q) == pytest.approx(
            max(abs(p[e].sum() - q[e].sum()) for e in events)
        )

    def test_wasserstein(self, seed: int) -> None:
        p, q = categoricals(seed)
        places = np.arange(6)
        assert d.wasserstein(p, q) == pytest.approx(
            stats.wasserstein_distance(places, places, p, q)
        )


@pytest.mark.parametrize(("p", "q"), GAUSSIANS)
class TestGaussians:
    @staticmethod
    def integral(function, p: d.Gaussian, q: d.Gaussian) -> float:
        """Over twelve standard deviations, in pieces around both means."""
        ends = sorted(m + s * k for m, s in (p, q) for k in (-12, -3, -1, 0, 1, 3, 12))
        pieces = pairwise(ends)
        return sum(integrate.quad(function, a, b, epsabs=1e-13)[0] for a, b in pieces if b > a)

    def test_all_by_integration(self, p: d.Gaussian, q: d.Gaussian) -> None:
        f, g = stats.norm(*p), stats.norm(*q)
        kl = self.integral(lambda x: f.pdf(x) * (f.logpdf(x) - g.logpdf(x)), p, q)
        assert d.gaussian_kl(p, q) == pytest.approx(kl, abs=1e-9)
        tv = self.integral(lambda x: 0.5 * abs(f.pdf(x) - g.pdf(x)), p, q)
        assert d.gaussian_total_variation(p, q) == pytest.approx(tv, abs=1e-9)

        def js(x: float) -> float:
            a, b = f.pdf(x), g.pdf(x)
            middle = (a + b) / 2.0
            terms = [y * math.log(y / middle) for y in (a, b) if y > 0.0]
            return 0.5 * sum(terms)

        assert d.gaussian_jensen_shannon(p, q) == pytest.approx(self.integral(js, p, q), abs=1e-9)

    def test_wasserstein_by_quantiles(self, p: d.Gaussian, q: d.Gaussian) -> None:
        """W_2^2 is the mean square of the quantiles' difference, (m - n + (s - t) z)^2."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        difference = p[0] - q[0] + (p[1] - q[1]) * nodes
        squared = (weights @ difference**2) / weights.sum()
        assert d.gaussian_wasserstein(p, q) == pytest.approx(math.sqrt(squared), abs=1e-12)


def test_total_variation_of_equal_widths_by_hand() -> None:
    """2 Phi(shift / 2) - 1."""
    expected = 2.0 * stats.norm.cdf(0.75) - 1.0
    assert d.gaussian_total_variation((0.0, 2.0), (3.0, 2.0)) == pytest.approx(expected)


class TestBounds:
    @pytest.mark.parametrize("outcomes", [2, 5, 50])
    def test_pinsker_and_bretagnolle_huber(self, outcomes: int) -> None:
        """On 500 pairs of every kind; TV^2 <= KL / 2 <= KL."""
        generator, closest = np.random.default_rng(0), 0.0
        for _ in range(500):
            p, q = generator.dirichlet(np.full(outcomes, np.exp(generator.uniform(-1, 4))), 2)
            kl, tv = d.kl(p, q), d.total_variation(p, q)
            assert tv**2 <= kl / 2.0 + 1e-15 and tv <= d.bretagnolle_huber(kl) + 1e-15
            closest = max(closest, tv / d.pinsker(kl))
        assert closest > 0.8  # the first bound is nearly reached, so that it is put to the test

    def test_pinsker_is_sharp_for_small_differences(self) -> None:
        p, q = np.array([0.5, 0.5]), np.array([0.501, 0.499])
        assert d.total_variation(p, q) / d.pinsker(d.kl(p, q)) == pytest.approx(1.0, abs=1e-5)

    def test_the_bounds_cross(self) -> None:
        """KL / 2 = 1 - e^-KL at 1.594."""
        assert d.pinsker(1.59) < d.bretagnolle_huber(1.59)
        assert d.pinsker(1.60) > d.bretagnolle_huber(1.60)

    def test_no_common_outcome(self) -> None:
        p, q = np.array([1.0, 0.0]), np.array([0.0, 1.0])
        assert d.kl(p, q) == math.inf and d.total_variation(p, q) == 1.0
        assert d.jensen_shannon(p, q) == pytest.approx(math.log(2.0))
