import math

import numpy as np
import pytest
from scipy import special, stats

from trpo_cli.compare.distributions import (
    f_tail,
    incomplete_beta,
    t_quantile,
    t_test_power,
    t_two_sided,
)

DEGREES = (1.0, 1.7, 2.0, 4.3, 9.0, 60.0, 500.0)


@pytest.mark.parametrize("a", [0.5, 1.0, 3.2, 40.0])
@pytest.mark.parametrize("b", [0.5, 2.0, 17.0])
def test_incomplete_beta_is_scipys(a: float, b: float) -> None:
    for x in (0.0, 1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9, 1.0):
        assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), abs=1e-11)


@pytest.mark.parametrize("df", DEGREES)
def test_students_t_is_scipys(df: float) -> None:
    for t in (0.0, 0.3, 2.0, 30.0):
        assert t_two_sided(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-9)
        assert t_two_sided(-t, df) == t_two_sided(t, df)
    for p in (0.5, 0.6, 0.975, 0.9999):
        assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-9)


def test_the_f_distribution_is_scipys() -> None:
    for f, between, within in ((0.4, 1, 5), (3.2, 2, 7), (12.0, 5, 40)):
        assert f_tail(f, between, within) == pytest.approx(stats.f.sf(f, between, within), rel=1e-9)
    assert f_tail(0.0, 3, 4) == 1.0


@pytest.mark.parametrize("df", [2.0, 4.0, 8.0, 30.0])
@pytest.mark.parametrize("alpha", [0.05, 0.002])
def test_power_is_that_of_scipys_noncentral_t(df: float, alpha: float) -> None:
    critical = stats.t.ppf(1 - alpha / 2, df)
    for shift in (0.0, 1.0, 3.0, 8.0):
        # scipy gives NaN for a lower tail of about 1e-10 and less.
        lower = np.nan_to_num(stats.nct.cdf(-critical, df, shift))
        expected = stats.nct.sf(critical, df, shift) + lower
        assert t_test_power(shift, df, alpha) == pytest.approx(expected, abs=1e-8)
    assert t_test_power(0.0, df, alpha) == pytest.approx(alpha, rel=1e-6)
    assert math.isclose(t_test_power(200.0, df, alpha), 1.0)
    powers = [t_test_power(s, df, alpha) for s in np.linspace(0, 10, 9)]
    assert powers == sorted(powers)
