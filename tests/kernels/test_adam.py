"""The compiled Adam: bit for bit the one in numpy."""

import math

import numpy as np
import pytest

from trpo_cli.kernels.adam import REASONS, Step, Vectors, clipped_step
from trpo_cli.kernels.vector import LANES, aligned, dot
from trpo_cli.maths.adam import Adam

SIZE = 7 * LANES


def vectors(seed=0):
    made = Vectors(*(aligned(SIZE) for _ in range(4)))
    made.parameters[:] = np.random.default_rng(seed).normal(size=SIZE)
    return made


def test_steps_are_those_of_the_numpy_form():
    """Without clipping: the norm is a sum in another order."""
    ours = vectors()
    theirs = Adam(ours.parameters.copy(), eps=1e-5)
    step = Step(3e-3, *theirs.betas, theirs.eps, math.inf)
    generator = np.random.default_rng(1)
    for count in range(20):
        gradient = (generator.normal(size=SIZE) * 10.0 ** (count % 5 - 3)).astype(np.float32)
        ours.gradient[:] = gradient
        assert clipped_step(ours, step, count) == 0
        theirs.step(gradient, 3e-3)
        for a, b in ((ours.parameters, theirs.parameters), (ours.second, theirs.second)):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("bound", [0.1, 1e3])
def test_clips_the_norm(bound):
    ours, gradient = vectors(), np.random.default_rng(1).normal(size=SIZE).astype(np.float32)
    theirs = Adam(ours.parameters.copy())
    ours.gradient[:] = gradient
    clipped_step(ours, Step(3e-3, *theirs.betas, theirs.eps, bound), 0)
    theirs.clipped_step(gradient.copy(), 3e-3, bound)
    np.testing.assert_allclose(ours.first, theirs.first, rtol=1e-6)
    np.testing.assert_allclose(ours.parameters, theirs.parameters, rtol=1e-6)


def test_dot():
    """Sums of up to 7 LANES products of order one in float32."""
    a, b = vectors().parameters, vectors(1).parameters
    assert dot(a, b) == pytest.approx(a.astype(np.float64) @ b.astype(np.float64), abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_what_is_no_gradient_moves_nothing(bad):
    ours = vectors()
    ours.gradient[3] = bad
    before = [part.tobytes() for part in ours]
    reason = REASONS[clipped_step(ours, Step(3e-3, 0.9, 0.999, 1e-8, 0.5), 0)]
    assert reason == ("gradient is not finite" if bad else "zero gradient")
    assert [part.tobytes() for part in ours] == before
