"""How many runs would tell two groups apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trpo_cli.compare.power import Needed, in_words, power, runs_for, seeds_needed


@pytest.mark.parametrize(("effect", "runs"), [(0.5, 64), (0.8, 26), (1.0, 17)])
def test_known_sizes(effect: float, runs: int) -> None:
    """Cohen's (1988) table 2.4.1, two-sided 5%, power 80%."""
    assert runs_for(effect, 0.05) == runs


def test_power_is_that_of_simulated_tests() -> None:
    rng, n, effect, samples = np.random.default_rng(0), 6, 1.5, 20_000
    x, y = rng.normal(effect, 1.0, (samples, n)), rng.normal(0.0, 1.0, (samples, n))
    found = np.mean(stats.ttest_ind(x, y, axis=1).pvalue <= 0.05)
    error = math.sqrt(0.25 / samples)
    assert power(effect, n, 0.05) == pytest.approx(found, abs=4 * error)


def test_the_permutation_test_has_to_be_able_to() -> None:
    """3 + 3 runs have p = 0.1 at least, however far apart they are."""
    assert runs_for(1000.0, 0.05) == 4
    assert runs_for(0.1, 0.05) is None


def test_more_than_there_are() -> None:
    """Measured at d = 2 or so, 6 runs each would do, and 7 + 9 are there."""
    x, y = np.arange(7.0) + 4.0, np.arange(9.0)
    needed = seeds_needed(x, y, 0.05)
    assert needed is not None and needed.fewest == 10


@pytest.mark.parametrize(
    ("x", "y"), [([1.0], [1.0, 2.0]), ([3.0, 3.0], [4.0, 4.0])], ids=["one run", "no spread"]
)
def test_nothing_to_go_by(x: list[float], y: list[float]) -> None:
    assert seeds_needed(x, y, 0.05) is None and in_words(None) == ""


def test_the_interval_holds_the_true_number() -> None:
    """In 80% of samples; 150 of them have a standard error of 3.3%, and whole numbers only make
    intervals longer."""
    rng, true = np.random.default_rng(5), runs_for(1.5, 0.05)
    assert true is not None
    held = 0
    for _ in range(150):
        needed = seeds_needed(rng.normal(1.5, 1.0, 6), rng.normal(0.0, 1.0, 6), 0.05)
        assert needed is not None
        low, high = needed.fewest or math.inf, needed.most or math.inf
        assert low <= (needed.expected or math.inf) <= high
        held += low <= true <= high
    assert held / 150 >= 0.8 - 3 * 0.033


def test_words() -> None:
    assert in_words(Needed(12, 7, None)) == (
        "about 12 runs each would probably tell (80% if the difference is as measured; 7 to more "
        "than 200 by what these runs know of it)"
    )
    assert in_words(Needed(None, 40, None)).endswith(
        "more than 200 runs each to find, 40 if it is as large as it may well be"
    )
    assert in_words(Needed(None, None, None)).endswith("more than 200 runs each to find")
