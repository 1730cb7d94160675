import numpy as np
import pytest

from tests.support.small import global_generators, numpy
from trpo_cli.maths.conjugate_gradient import conjugate_gradient


def spd(size, seed=0):
    """A symmetric positive definite matrix with a condition number below 100."""
    a = np.random.default_rng(seed).normal(size=(size, size))
    return a @ a.T + size * np.eye(size)


class Product:
    """v -> F v, counting."""

    def __init__(self, matrix):
        self.matrix, self.calls = matrix, 0

    def __call__(self, v):
        self.calls += 1
        return self.matrix @ v


class TestConjugateGradient:
    @pytest.mark.parametrize("seed", range(5))
    def test_solves(self, array, seed):
        matrix, b = spd(12, seed), np.random.default_rng(seed + 100).normal(size=12)
        result = conjugate_gradient(Product(array(matrix)), array(b), 12, 0.0)
        # Exact after 12 iterations but for rounding, about condition number * 1e-16.
        np.testing.assert_allclose(numpy(result.x), np.linalg.solve(matrix, b), rtol=1e-9)
        assert (result.iterations, result.reason) == (12, "")

    def test_needs_one_iteration_per_distinct_eigenvalue(self, array):
        matrix = np.diag([1.0, 1.0, 2.0, 2.0, 5.0])
        product = Product(array(matrix))
        result = conjugate_gradient(product, array(np.ones(5)), 100, 1e-20)
        assert result.iterations == product.calls == 3
        np.testing.assert_allclose(numpy(result.x), 1.0 / np.diag(matrix), rtol=1e-12)

    @pytest.mark.parametrize("iterations", [1, 2, 4])
    def test_reports_the_true_residual_and_its_cost(self, array, iterations):
        matrix, b = spd(8), np.arange(1.0, 9.0)
        product = Product(array(matrix))
        result = conjugate_gradient(product, array(b), iterations, 0.0)
        true = np.linalg.norm(matrix @ numpy(result.x) - b) / np.linalg.norm(b)
        assert true > 1e-6  # not yet solved, so that the number means something
        assert result.residual == pytest.approx(true, rel=1e-6)
        assert result.iterations == product.calls == iterations

    def test_stops_at_the_tolerance(self, array):
        matrix, b = spd(8), np.arange(1.0, 9.0)
        loose = conjugate_gradient(Product(array(matrix)), array(b), 100, 1e-4)
        assert loose.residual <= 1e-2  # the tolerance is that of the squared residual
        before = conjugate_gradient(Product(array(matrix)), array(b), loose.iterations - 1, 1e-4)
        assert before.residual > 1e-2

    def test_negative_curvature_keeps_the_last_good_iterate(self, array):
        # First step: p'Fp = 1, alpha = 2, x = (2, 2), r = (-3, 3), r'r = 18.
        # Second: p = r + 18 / 2 p = (6, 12), p'Fp = 72 - 144 < 0.
        result = conjugate_gradient(Product(array(np.diag([2.0, -1.0]))), array([1.0, 1.0]), 10)
        assert result.reason == "curvature is not positive"
        np.testing.assert_allclose(numpy(result.x), [2.0, 2.0])
        assert result.residual == pytest.approx(3.0)  # |(3, -3)| / |(1, 1)|

    @pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf])
    def test_bad_curvature_at_once_gives_zero(self, array, factor):
        result = conjugate_gradient(lambda v: factor * v, array([1.0, 2.0]), 10)
        assert result.reason == "curvature is not positive"
        np.testing.assert_array_equal(numpy(result.x), [0.0, 0.0])

    @pytest.mark.parametrize(
        ("b", "reason"),
        [
            ([0.0, 0.0], "zero gradient"),
            ([1.0, np.nan], "gradient is not finite"),
            ([np.inf, 1.0], "gradient is not finite"),
        ],
    )
    def test_nothing_to_solve(self, array, b, reason):
        product = Product(array(np.eye(2)))
        result = conjugate_gradient(product, array(b), 10)
        assert (result.reason, result.iterations, product.calls) == (reason, 0, 0)
        np.testing.assert_array_equal(numpy(result.x), [0.0, 0.0])

    def test_leaves_b_and_the_global_generators_alone(self, array):
        b = array([1.0, 2.0, 3.0])
        before = global_generators()
        conjugate_gradient(Product(array(spd(3))), b, 3)
        np.testing.assert_array_equal(numpy(b), [1.0, 2.0, 3.0])
        assert global_generators() == before
