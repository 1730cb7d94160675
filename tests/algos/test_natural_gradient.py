from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.algos.conftest import BUILD
from tests.support.small import (
    BOX,
    DISCRETE,
    SPACES,
    STATE_BOX,
    explicit_fisher,
    make_batch,
    make_policy,
)
from trpo_cli.algos.compiled_solution import can_compile
from trpo_cli.algos.held_out import HELD_OUT
from trpo_cli.algos.natural_gradient import natural_direction
from trpo_cli.algos.npg import NPGConfig
from trpo_cli.algos.objectives import SinglePathObjective
from trpo_cli.algos.trpo import TRPOConfig

EXACT: dict[str, Any] = {
    "damping": 0.0,
    "fisher_fraction": 1.0,
    "cg_iterations": 200,
    "cg_tolerance": 1e-28,
}


def problem(space=BOX, seed=1, **kwargs):
    """A policy whose Fisher matrix is regular, its batch, gradient and Fisher matrix."""
    policy = make_policy(space, **kwargs)
    batch = make_batch(policy, seed=seed)
    gradient = SinglePathObjective(policy.linearize(batch.observations), batch).gradient
    return policy, batch, gradient, explicit_fisher(policy, space, batch.observations)


def narrowing(policy, batch):
    """Advantages that want ever smaller deviations: a long enough step overflows."""
    log_prob = policy.distribution(batch.observations).log_prob(batch.actions)
    return replace(batch, advantages=log_prob - log_prob.mean())


class TestNaturalDirection:
    @pytest.mark.parametrize("damping", [0.0, 0.1, 10.0])
    def test_solves_the_damped_system(self, damping):
        policy, batch, gradient, fisher = problem()
        config = NPGConfig(**{**EXACT, "damping": damping})
        natural = natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
        damped = fisher + damping * np.eye(len(gradient))
        # Conjugate gradients to a residual of 1e-14, times the condition number.
        np.testing.assert_allclose(
            natural.direction, np.linalg.solve(damped, gradient), rtol=1e-6, atol=1e-9
        )
        # The curvature is that of the matrix solved with: it bounds the step where F vanishes.
        curvature = natural.direction @ damped @ natural.direction
        assert natural.curvature == pytest.approx(curvature, rel=1e-9)
        assert natural.metrics["trust_region/curvature"] == natural.curvature
        assert natural.reason == ""

    @pytest.mark.parametrize("damping", [0.0, 0.1])
    @pytest.mark.parametrize("rule", [NPGConfig, TRPOConfig])
    def test_a_shorter_step_of_the_deviation_is_another_metric(self, rule, damping):
        """F_c x = g and x'F_c x, with the block of log sigma of F + damping divided by c."""
        policy, batch, gradient, fisher = problem()
        config = rule(**{**EXACT, "damping": damping}, log_std_step=0.25)
        natural = natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
        metric = fisher + damping * np.eye(len(gradient))
        size = policy.network.num_parameters
        # The blocks that the short form of the curvature takes for granted.
        np.testing.assert_allclose(fisher[size:, :size], 0.0, atol=1e-12)
        np.testing.assert_allclose(fisher[size:, size:], 2.0 * np.eye(len(gradient) - size))
        metric[size:] /= 0.25
        expected = np.linalg.solve(metric, gradient)
        np.testing.assert_allclose(natural.direction, expected, rtol=1e-6, atol=1e-9)
        assert natural.curvature == pytest.approx(expected @ metric @ expected, rel=1e-6)
        assert natural.metrics["trust_region/curvature"] == natural.curvature

    def test_without_a_shared_deviation_nothing_is_shorter(self):
        policy, batch, gradient, _ = problem(DISCRETE)
        one, other = (
            natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
            for config in (NPGConfig(), NPGConfig(log_std_step=0.25))
        )
        np.testing.assert_array_equal(one.direction, other.direction)
        assert one.curvature == other.curvature

    def test_singular_fisher_matrices_are_solved_too(self):
        """A softmax does not change when a constant is added to its logits."""
        policy, batch, gradient, fisher = problem(DISCRETE)
        assert np.linalg.eigvalsh(fisher)[0] < 1e-12
        config = NPGConfig(**{**EXACT, "cg_tolerance": 1e-20})
        natural = natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
        np.testing.assert_allclose(fisher @ natural.direction, gradient, atol=1e-8)

    def test_much_damping_gives_the_gradient(self):
        policy, batch, gradient, _ = problem()
        config = NPGConfig(damping=1e6, fisher_fraction=1.0)
        natural = natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
        np.testing.assert_allclose(natural.direction, gradient / 1e6, rtol=1e-4, atol=1e-12)

    def test_a_fraction_is_drawn_without_replacement_from_its_generator(self, monkeypatch):
        policy, batch, gradient, _ = problem()
        seen, original = [], policy.linearize

        def linearize(observations):
            seen.append(observations)
            return original(observations)

        monkeypatch.setattr(policy, "linearize", linearize)
        config = NPGConfig(fisher_fraction=0.25)
        for seed in (0, 0, 1):
            natural_direction(policy, batch, gradient, config, np.random.default_rng(seed))
        first, same, other = seen
        assert len(first) == 16
        rows = {row.tobytes() for row in batch.observations}
        assert len({row.tobytes() for row in first} & rows) == 16
        np.testing.assert_array_equal(first, same)
        assert not np.array_equal(first, other)


class TestNPG:
    def test_the_normalized_step_has_the_size_of_the_trust_region(self, update):
        """1/2 s'Fs = max_kl by the explicit matrix; s = sqrt(2 max_kl / g'F^-1 g) F^-1 g."""
        policy, batch, gradient, fisher = problem()
        result = update("npg", policy, batch, max_kl=0.003, **EXACT)
        assert 0.5 * result.step @ fisher @ result.step == pytest.approx(0.003, rel=1e-6)
        natural = np.linalg.solve(fisher, gradient)
        expected = np.sqrt(2.0 * 0.003 / (gradient @ natural)) * natural
        np.testing.assert_allclose(result.step, expected, rtol=1e-5, atol=1e-9)
        assert result["trust_region/predicted_kl"] == pytest.approx(0.003)
        assert result["trust_region/expected_improvement"] == pytest.approx(gradient @ expected)
        assert result["trust_region/accepted"] == 1

    def test_a_small_step_has_the_kl_that_was_asked_for(self, update):
        """The quadratic model is exact in the limit; its error is of third order in the step."""
        policy, batch, _, _ = problem()
        result = update("npg", policy, batch, max_kl=1e-6, **EXACT)
        assert result["policy/kl"] == pytest.approx(1e-6, rel=0.01)

    def test_twice_the_trust_region_is_a_step_longer_by_root_two(self, update):
        steps = []
        for max_kl in (0.01, 0.02):
            policy, batch, _, _ = problem()
            steps.append(update("npg", policy, batch, max_kl=max_kl).step)
        np.testing.assert_allclose(steps[1], np.sqrt(2.0) * steps[0], rtol=1e-9, atol=1e-12)

    def test_the_fixed_rule_uses_the_step_size_as_written(self, update):
        policy, batch, gradient, fisher = problem()
        result = update("npg", policy, batch, step_rule="fixed", step_size=0.01, **EXACT)
        expected = 0.01 * np.linalg.solve(fisher, gradient)
        np.testing.assert_allclose(result.step, expected, rtol=1e-5, atol=1e-9)
        predicted = 0.5 * expected @ fisher @ expected
        assert result["trust_region/predicted_kl"] == pytest.approx(predicted, rel=1e-6)

    def test_a_step_beyond_finite_numbers_is_taken_back(self, update):
        policy, batch, _, _ = problem(dtype=np.float32)
        with np.errstate(all="ignore"):
            result = update(
                "npg", policy, narrowing(policy, batch), step_rule="fixed", step_size=1e6
            )
        assert result.after.tobytes() == result.before.tobytes()
        assert result["trust_region/accepted"] == 0
        assert result["trust_region/reason"] == "objective is not finite"
        assert result["policy/kl"] == 0.0


class TestTRPO:
    @pytest.mark.parametrize("fisher_fraction", [1.0, 0.5])
    def test_is_the_natural_step_when_the_first_trial_is_accepted(self, update, fisher_fraction):
        compared = 0
        for seed in range(10):
            ours, theirs = (
                update(rule, *problem(seed=seed, dtype=np.float32)[:2], **common)
                for rule in ("trpo", "npg")
                for common in [{"max_kl": 1e-3, "fisher_fraction": fisher_fraction}]
            )
            if ours["trust_region/step_fraction"] == 1.0:
                np.testing.assert_array_equal(ours.after, theirs.after)
                assert ours.metrics == theirs.metrics
                compared += 1
        assert compared

    @pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["Box", "Discrete"])
    def test_accepted_steps_keep_the_bound_and_improve(self, update, space):
        """The bound holds over the whole batch, though the Fisher matrix saw a few states."""
        backtracked = []
        for seed in range(25):
            policy = make_policy(space, seed=seed, dtype=np.float32)
            batch = make_batch(policy, seed=seed)
            old = policy.distribution(batch.observations).detach()
            result = update("trpo", policy, batch, max_kl=0.1, fisher_fraction=0.25)
            assert result["trust_region/accepted"] == 1
            kl = policy.distribution(batch.observations).kl_from(old).mean()
            assert kl <= 0.1
            assert result["policy/kl"] == float(kl)
            assert result["trust_region/actual_improvement"] > 0.0
            fraction = 0.8 ** result["trust_region/backtracks"]
            assert result["trust_region/step_fraction"] == pytest.approx(fraction)
            assert result["trust_region/predicted_kl"] == pytest.approx(0.1 * fraction**2)
            backtracked.append(result["trust_region/backtracks"])
        assert any(backtracked)  # otherwise the search was not tested

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"max_kl": 0.1, "max_backtracks": 0, "fisher_fraction": 0.02}, "KL bound"),
            ({"max_kl": 1e-30}, "no improvement"),
            ({"max_kl": 1e12, "max_backtracks": 3}, "objective is not finite"),
        ],
    )
    def test_a_failed_search_leaves_every_bit_and_says_why(self, update, settings, reason):
        policy, batch, _, _ = problem(dtype=np.float32)
        with np.errstate(all="ignore"):
            result = update("trpo", policy, narrowing(policy, batch), **settings)
        assert result["trust_region/reason"] == reason
        assert result["trust_region/accepted"] == 0
        assert result.after.tobytes() == result.before.tobytes()
        assert result["policy/kl"] == result["trust_region/step_fraction"] == 0.0
        assert result["trust_region/predicted_kl"] == 0.0
        assert result["trust_region/actual_improvement"] == 0.0
        assert result["policy/surrogate_after"] == result["policy/surrogate_before"]

    def test_linear_model_matches_for_small_steps(self, update):
        policy, batch, _, _ = problem()
        result = update("trpo", policy, batch, max_kl=1e-8)
        assert result["trust_region/actual_improvement"] == pytest.approx(
            result["trust_region/expected_improvement"], rel=1e-2
        )

    def test_repeated_updates_on_one_batch_keep_improving(self):
        policy, batch, _, _ = problem(dtype=np.float32)
        algorithm = BUILD["trpo"](policy)
        generator = np.random.default_rng(0)
        for _ in range(5):
            metrics = algorithm.update(policy, replace(batch), generator, 1.0)
            assert metrics["trust_region/accepted"] == 1


class TestEntropyBonus:
    COEF = 2.0

    @pytest.mark.parametrize("rule", ["npg", "trpo"])
    def test_the_step_is_that_of_the_sum(self, update, rule):
        """s = sqrt(2 max_kl / g'F^-1 g) F^-1 g with g = grad (mean r A + c mean H)."""
        policy, batch, gradient, fisher = problem()
        here = policy.linearize(batch.observations)
        whole = SinglePathObjective(here, batch, self.COEF).gradient
        assert abs(whole - gradient).max() > 0.1 * abs(gradient).max()
        natural = np.linalg.solve(fisher, whole)
        expected = np.sqrt(2.0 * 1e-6 / (whole @ natural)) * natural
        result = update(rule, policy, batch, max_kl=1e-6, entropy_coef=self.COEF, **EXACT)
        share = result["trust_region/step_fraction"]
        np.testing.assert_allclose(result.step, share * expected, rtol=1e-5, atol=1e-9)
        improvement = result["trust_region/expected_improvement"]
        assert improvement == pytest.approx(share * (whole @ expected))
        # The linear model is exact in the limit.
        assert result["trust_region/actual_improvement"] == pytest.approx(improvement, rel=0.01)

    @pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["Box", "Discrete"])
    def test_the_search_asks_for_more_of_the_sum(self, update, space):
        """Also where the surrogate alone falls, which happens among these batches."""
        fell = 0
        for seed in range(25):
            policy = make_policy(space, seed=seed, dtype=np.float32)
            batch = make_batch(policy, seed=seed)
            entropy = float(policy.distribution(batch.observations).entropy().mean())
            result = update("trpo", policy, batch, max_kl=0.1, entropy_coef=self.COEF)
            assert result["trust_region/accepted"] == 1
            gain = result["policy/surrogate_after"] - result["policy/surrogate_before"]
            fell += gain < 0.0
            gain += self.COEF * (result["policy/entropy"] - entropy)
            assert gain > 0.0
            # Differences of single-precision numbers of size 1 to 10.
            assert result["trust_region/actual_improvement"] == pytest.approx(gain, abs=1e-5)
        assert fell

    @pytest.mark.parametrize("rule", ["npg", "trpo"])
    def test_counts_in_what_the_halves_gain(self, rule):
        found = []
        for coef in (0.0, self.COEF):
            policy, batch, *_ = problem()
            flat = replace(batch, advantages=0.0 * batch.advantages)
            algorithm = BUILD[rule](policy, entropy_coef=coef)
            found.append(algorithm.update(policy, flat, np.random.default_rng(0), 1.0)[HELD_OUT])
        assert found[0] is None  # nothing to gain: no direction
        assert found[1] > 0.0


class TestSchedule:
    @pytest.mark.parametrize("rule", ["npg", "trpo"])
    def test_the_trust_region_shrinks_with_what_remains(self, rule):
        policy, batch, *_ = problem()
        settings = {**EXACT, "max_kl": 1e-3, "schedule": "linear"}
        algorithm = BUILD[rule](policy, **settings)
        metrics = algorithm.update(policy, batch, np.random.default_rng(0), 0.25)
        # The quadratic model's KL of the whole step is the trust region's size.
        whole = metrics["trust_region/predicted_kl"] / metrics["trust_region/step_fraction"] ** 2
        assert whole == pytest.approx(0.25e-3, rel=1e-6)


class TestCompiled:
    """Float32 parameters are solved for by compiled code, float64 ones in numpy: the oracle."""

    @pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
    @pytest.mark.parametrize(
        "settings",
        [{}, {"fisher_fraction": 1.0, "cg_iterations": 3}, {"log_std_step": 0.25}],
    )
    def test_the_numpy_form_agrees(self, space, settings):
        if space is STATE_BOX:  # 1 / sigma^2 differs between states by a factor of ten and more
            settings = {"cg_iterations": 4, **settings}
        self.compare(space, settings)

    @pytest.mark.parametrize("activation", ["leaky_relu", "elu", "silu"])
    def test_other_activations_agree(self, activation):
        """Behind unbounded activations few iterations solve most, and what is left is rounding."""
        self.compare(SPACES[0], {"cg_iterations": 4}, activation=activation)

    def test_layer_normalisation_agrees(self):
        self.compare(SPACES[0], {"cg_iterations": 4}, layer_norm=True)

    def compare(self, space, settings, **network):
        config, found = NPGConfig(**{"cg_iterations": 8, **settings}), []
        for dtype in (np.float32, np.float64):
            policy = make_policy(space, hidden=(20, 5), dtype=dtype, **network)
            batch = make_batch(policy, size=150)  # two whole blocks of states, and a part
            gradient = SinglePathObjective(policy.linearize(batch.observations), batch).gradient
            assert can_compile(policy, gradient, batch) == (dtype == np.float32)
            found.append(
                natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
            )
        ours, theirs = found
        # A condition number of at most a few tens (damping 0.1) times 24 bits.
        scale = abs(theirs.direction).max()
        np.testing.assert_allclose(ours.direction, theirs.direction, atol=1e-4 * scale)
        for key, value in theirs.metrics.items():
            assert ours.metrics[key] == pytest.approx(value, rel=1e-2, abs=1e-5), key
        assert ours.curvature == pytest.approx(theirs.curvature, rel=1e-4)

    @pytest.mark.parametrize("value", [0.0, np.nan])
    def test_what_is_no_gradient_has_its_reason(self, value):
        policy = make_policy(dtype=np.float32)
        batch, gradient = make_batch(policy), np.full_like(policy.parameters, value)
        natural = natural_direction(policy, batch, gradient, NPGConfig(), np.random.default_rng(0))
        assert natural.reason == ("gradient is not finite" if value else "zero gradient")

    def test_a_network_that_is_not_finite_has_no_curvature(self):
        policy = make_policy(dtype=np.float32)
        batch, gradient = make_batch(policy), np.ones_like(policy.parameters)
        policy.parameters[0] = np.nan
        natural = natural_direction(policy, batch, gradient, NPGConfig(), np.random.default_rng(0))
        assert natural.reason == "curvature is not positive"
        assert natural.metrics["trust_region/cg_iterations"] == 0
