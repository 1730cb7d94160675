"""What holds for all update rules."""

from dataclasses import replace

import numpy as np
import pytest

from tests.algos.conftest import BUILD
from tests.support.small import SPACES, global_generators, make_batch, make_policy, numpy

RULES = ["vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual"]
every_rule = pytest.mark.parametrize("rule", RULES)
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)


def reason_of(result):
    return result.metrics.get("policy/skipped", result.metrics.get("trust_region/reason"))


@every_rule
class TestUpdate:
    @every_space
    def test_improves_the_surrogate(self, update, rule, space):
        policy = make_policy(space)
        result = update(rule, policy, make_batch(policy))
        assert result["policy/surrogate_after"] > result["policy/surrogate_before"]
        assert 0.0 < result["policy/kl"] <= result["policy/kl_max"]
        assert reason_of(result) == ""

    @every_space
    def test_the_torch_network_gives_the_same_parameters(self, update, rule, space):
        """Closed form in numpy, autograd in torch: the same update in float64."""
        steps = []
        for torch_network in (False, True):
            policy = make_policy(space, torch_network=torch_network)
            steps.append(update(rule, policy, make_batch(policy)))
        ours, theirs = steps
        # Conjugate gradients and Adam's square roots magnify rounding of 1e-16.
        np.testing.assert_allclose(theirs.step, ours.step, rtol=1e-5, atol=1e-10)
        assert ours.metrics.keys() == theirs.metrics.keys()
        assert theirs["policy/kl"] == pytest.approx(ours["policy/kl"], rel=1e-5)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
    def test_bad_advantages_move_nothing_and_say_why(self, update, rule, dtype, value):
        policy = make_policy(dtype=dtype)
        batch = make_batch(policy)
        batch = replace(batch, advantages=np.full_like(batch.advantages, value))
        with np.errstate(invalid="ignore"):
            result = update(rule, policy, batch)
        assert result.after.tobytes() == result.before.tobytes()
        assert reason_of(result) == ("gradient is not finite" if value else "zero gradient")
        assert result["policy/kl"] == 0.0

    def test_recovers_after_a_bad_batch(self, rule, update):
        """One batch of NaN leaves no trace in optimiser moments either."""
        results = []
        for poisoned in (False, True):
            policy = make_policy()
            algorithm = BUILD[rule](policy)
            good = make_batch(policy)
            bad = replace(good, advantages=np.full_like(good.advantages, np.nan))
            if poisoned:
                algorithm.update(policy, bad, np.random.default_rng(9), 1.0)
            algorithm.update(policy, good, np.random.default_rng(0), 1.0)
            results.append(numpy(policy.parameters).copy())
        np.testing.assert_array_equal(results[0], results[1])

    def test_same_generator_same_update(self, update, rule):
        results = []
        for _ in range(2):
            policy = make_policy(dtype=np.float32)
            results.append(update(rule, policy, make_batch(policy)))
        np.testing.assert_array_equal(results[0].after, results[1].after)
        assert results[0].metrics == results[1].metrics

    def test_touches_no_global_generator_and_not_the_batch(self, update, rule):
        policy = make_policy(dtype=np.float32)
        batch = make_batch(policy)
        copies = {k: np.copy(v) for k, v in vars(batch).items()}
        normalizer = {k: np.copy(v) for k, v in policy.normalizer.state().items()}
        state = global_generators()
        update(rule, policy, batch)
        assert global_generators() == state
        for key, value in copies.items():
            np.testing.assert_array_equal(getattr(batch, key), value)
        for key, value in policy.normalizer.state().items():
            np.testing.assert_array_equal(value, normalizer[key])

    def test_metrics_have_the_same_keys_on_every_update(self, update, rule):
        """The first row fixes the keys, also when that update was skipped."""
        keys = []
        for factor in (0.0, 1.0):
            policy = make_policy()
            batch = make_batch(policy)
            result = update(rule, policy, replace(batch, advantages=factor * batch.advantages))
            keys.append(tuple(result.metrics))
        assert keys[0] == keys[1]

    def test_state_resumes_bit_for_bit(self, rule):
        policy = make_policy(dtype=np.float32)
        algorithm = BUILD[rule](policy)
        generator = np.random.default_rng(0)
        for seed in range(3):
            algorithm.update(policy, make_batch(policy, seed=seed), generator, 0.5)
        other = make_policy(seed=5, dtype=np.float32)
        resumed = BUILD[rule](other)
        other.load_state({k: np.copy(v) for k, v in policy.state().items()})
        resumed.load_state({k: np.copy(v) for k, v in algorithm.state().items()})
        batch = make_batch(policy, seed=3)
        for rules, target in ((algorithm, policy), (resumed, other)):
            rules.update(target, batch, np.random.default_rng(1), 0.5)
        np.testing.assert_array_equal(policy.parameters, other.parameters)
