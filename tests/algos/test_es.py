import numpy as np
import pytest

from tests.support.small import make_policy
from trpo_cli.algos.es import ES, ESConfig
from trpo_cli.data.records import Evaluations
from trpo_cli.maths.evolution import antithetic_gradient


@pytest.fixture
def policy():
    return make_policy()


def evaluations(policy, scores, count=6, seed=0):
    size = policy.network.num_parameters
    noise = np.random.default_rng(seed).standard_normal((count, size))
    return Evaluations(noise, scores(noise), np.zeros((3, 3)), [0.0], [1])


def along(noise):
    """The first parameter is worth having."""
    return np.stack([noise[:, 0], -noise[:, 0]])


def update(policy, batch, **settings):
    rule = ES(ESConfig(**settings), policy)
    return rule.update(policy, batch, np.random.default_rng(0), 1.0)


def test_a_plain_step_follows_the_estimate(policy):
    batch, before = evaluations(policy, along), policy.parameters.copy()
    metrics = update(policy, batch, optimizer="sgd", shaping="none", sigma=0.2, learning_rate=0.3)
    gradient = antithetic_gradient(batch.noise, batch.scores, 0.2)
    size = policy.network.num_parameters
    np.testing.assert_allclose(policy.parameters[:size], before[:size] + 0.3 * gradient)
    np.testing.assert_array_equal(policy.parameters[size:], before[size:])
    assert metrics["es/gradient_norm"] == pytest.approx(np.linalg.norm(gradient))
    assert metrics["es/step_norm"] == pytest.approx(0.3 * np.linalg.norm(gradient))


def test_ranks_are_blind_to_the_scale_of_scores(policy):
    steps = []
    for scale in (1.0, 1000.0):
        batch = evaluations(policy, lambda noise, scale=scale: np.exp(scale * along(noise) / 1000))
        start = policy.parameters.copy()
        update(policy, batch, optimizer="sgd", shaping="ranks")
        steps.append(policy.parameters - start)
        policy.parameters[:] = start
    np.testing.assert_allclose(steps[0], steps[1])
    assert steps[0].any()


@pytest.mark.parametrize("shaping", ["ranks", "none"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_equal_scores_move_nothing_and_say_so(policy, shaping, optimizer):
    batch, before = evaluations(policy, lambda noise: np.ones((2, len(noise)))), policy.parameters
    before = before.copy()
    metrics = update(policy, batch, shaping=shaping, optimizer=optimizer)
    assert metrics["policy/skipped"] == "zero gradient" and metrics["es/step_norm"] == 0.0
    np.testing.assert_array_equal(policy.parameters, before)


def test_the_moments_resume(policy):
    batch = evaluations(policy, along)
    first = ES(ESConfig(), policy)
    generator = np.random.default_rng(0)
    first.update(policy, batch, generator, 1.0)
    saved, start = {k: np.copy(v) for k, v in first.state().items()}, policy.parameters.copy()
    first.update(policy, batch, generator, 1.0)
    expected = policy.parameters.copy()
    policy.parameters[:] = start
    second = ES(ESConfig(), policy)
    second.load_state(saved)
    second.update(policy, batch, generator, 1.0)
    np.testing.assert_array_equal(policy.parameters, expected)
