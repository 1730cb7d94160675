import numpy as np
import pytest

from tests.support.small import numpy
from trpo_cli.maths.line_search import line_search

# Negative zero and a number below the normal range: bits that arithmetic would not give back.
OLD = np.array([1.0, -0.0, 1e-42, 3.0e7], dtype=np.float32)
STEP = np.array([0.1, 0.2, 0.3, 0.7], dtype=np.float32)


class Trials:
    """Answers from a table, in the order of the trials; keeps the parameters that it saw."""

    def __init__(self, parameters, answers):
        self.parameters, self.answers, self.seen = parameters, answers, []

    def __call__(self):
        self.seen.append(numpy(self.parameters).copy())
        return self.answers[min(len(self.seen), len(self.answers)) - 1]


def search(parameters, step, answers, max_backtracks=4):
    trials = Trials(parameters, answers)
    result = line_search(
        trials,
        parameters,
        step,
        objective=1.0,
        max_kl=0.01,
        ratio=0.5,
        max_backtracks=max_backtracks,
    )
    return result, trials.seen


class TestLineSearch:
    def test_accepts_the_full_step(self, array):
        parameters = array(OLD)
        result, seen = search(parameters, array(STEP), [(1.5, 0.005)])
        assert (result.accepted, result.reason, result.backtracks) == (True, "", 0)
        assert (result.fraction, result.objective, result.kl) == (1.0, 1.5, 0.005)
        assert len(seen) == 1
        np.testing.assert_array_equal(numpy(parameters), OLD + STEP)

    def test_accepts_the_first_trial_that_satisfies_not_the_best(self, array):
        parameters = array(OLD)
        answers = [(9.0, 0.02), (0.5, 0.001), (1.1, 0.001), (5.0, 0.0001)]
        result, seen = search(parameters, array(STEP), answers)
        assert (result.accepted, result.reason, result.backtracks) == (True, "", 2)
        assert (result.fraction, result.objective, result.kl) == (0.25, 1.1, 0.001)
        for j, trial in enumerate(seen):
            np.testing.assert_array_equal(trial, OLD + np.float32(0.5**j) * STEP)
        np.testing.assert_array_equal(numpy(parameters), seen[-1])

    def test_the_bound_itself_is_inside(self, array):
        assert search(array(OLD), array(STEP), [(1.5, 0.01)])[0].accepted

    def test_goes_on_after_a_trial_that_is_not_finite(self, array):
        result, _ = search(array(OLD), array(STEP), [(np.nan, np.nan), (1.5, 0.005)])
        assert (result.accepted, result.reason, result.backtracks) == (True, "", 1)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ((2.0, 0.0101), "KL bound"),
            ((0.9, 0.001), "no improvement"),
            ((1.0, 0.001), "no improvement"),
            ((np.nan, 0.001), "objective is not finite"),
            ((np.inf, 0.001), "objective is not finite"),
            ((2.0, np.nan), "objective is not finite"),
            ((2.0, np.inf), "objective is not finite"),
        ],
    )
    def test_rejection_restores_every_bit(self, array, answer, reason):
        parameters = array(OLD)
        result, seen = search(parameters, array(STEP), [answer])
        assert (result.accepted, result.reason, result.backtracks) == (False, reason, 4)
        assert (result.fraction, result.objective, result.kl) == (0.0, 1.0, 0.0)
        assert len(seen) == 5
        assert not any(np.array_equal(trial, OLD) for trial in seen[:1])
        assert numpy(parameters).tobytes() == OLD.tobytes()

    def test_no_backtracks_is_one_trial(self, array):
        _, seen = search(array(OLD), array(STEP), [(0.0, 0.0)], max_backtracks=0)
        assert len(seen) == 1

    def test_leaves_the_step_alone(self, array):
        step = array(STEP)
        search(array(OLD), step, [(0.0, 0.0)])
        np.testing.assert_array_equal(numpy(step), STEP)
