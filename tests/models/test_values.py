from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import global_generators, make_policy
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.errors import UserError
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.maths.returns import explained_variance
from trpo_cli.models import orders
from trpo_cli.models.mlp import MLP
from trpo_cli.models.orders import takes_alone
from trpo_cli.models.packed import packable
from trpo_cli.models.policies.linear import LinearPolicyConfig
from trpo_cli.models.torch_mlp import TorchMLP
from trpo_cli.models.value import Value
from trpo_cli.models.values.mlp import MLPValueConfig
from trpo_cli.models.values.quadratic import QuadraticValueConfig, quadratic_features

CONFIG = MLPValueConfig(epochs=10, hidden_sizes=[16], learning_rate=3e-3, minibatch_size=32)


def problem(seed=0, size=256):
    """Returns of mean 50 and deviation near 20: a smooth function of three features."""
    x = np.random.default_rng(seed).normal(size=(size, 3)).astype(np.float32)
    return x, (50.0 + 20.0 * np.tanh(x[:, 0] - x[:, 1])).astype(np.float32)


def make_value(seed=0, **settings):
    config = replace(CONFIG, **settings)
    mlp = MLP([3, *config.hidden_sizes, 1], config.activation)
    parameters = np.zeros(mlp.num_parameters, dtype=np.float32)
    mlp.initialize(parameters, np.random.default_rng(seed), output_gain=0.01)
    return Value(config, mlp, parameters)


def generator():
    return np.random.default_rng(1)


class TestPredict:
    def test_a_result_outlives_the_next_call(self):
        value, (x, _) = make_value(), problem()
        first = value.predict(x)
        kept = first.copy()
        value.predict(-x)
        np.testing.assert_array_equal(first, kept)
        assert first.shape == (256,)


class TestFit:
    @pytest.mark.parametrize("minibatch_size", [32, 100, None])
    @pytest.mark.parametrize("normalize", [True, False])
    def test_lowers_the_error(self, minibatch_size, normalize):
        rate = 3e-3 if minibatch_size and normalize else 3e-2
        value = make_value(
            minibatch_size=minibatch_size, normalize_targets=normalize, learning_rate=rate
        )
        x, returns = problem()
        assert explained_variance(value.predict(x), returns) < 0.3
        for _ in range(31):
            last = value.fit(x, returns, generator(), 1.0)
        assert explained_variance(value.predict(x), returns) > 0.9
        assert last["value/loss"] < 0.1 * returns.var()

    def test_loss_is_the_mean_squared_error_in_the_units_of_returns(self):
        value, (x, returns) = make_value(minibatch_size=None, epochs=1), problem()
        first = value.predict(x) + returns.mean()  # the first returns move V to their mean
        expected = ((first - returns) ** 2).mean()
        loss = value.fit(x, returns, generator(), 1.0)["value/loss"]
        # Rescaled targets and predictions in float32.
        assert loss == pytest.approx(expected, rel=1e-4)

    def test_rescaling_the_targets_preserves_the_outputs(self):
        """A fit whose step size is zero moves mean and deviation only; the first ones move V."""
        value, (x, returns) = make_value(schedule="linear"), problem()
        before = value.predict(x)
        value.fit(x, returns, generator(), 0.0)
        np.testing.assert_allclose(value.predict(x), before + returns.mean(), rtol=1e-5)
        for scale in (2.0, 1e-2, 1e3):
            before = value.predict(x)
            parameters = value.parameters.copy()
            value.fit(x, scale * returns, generator(), 0.0)
            assert not np.array_equal(value.parameters, parameters)
            # float32 arithmetic around values as large as the targets' mean.
            np.testing.assert_allclose(value.predict(x), before, atol=1e-5 * scale * 50 + 1e-4)

    def test_statistics_are_those_of_all_returns(self):
        value = make_value()
        batches = [problem(seed)[1] * (seed + 1) for seed in range(3)]
        for seed, returns in enumerate(batches):
            value.fit(problem(seed)[0], returns, generator(), 1.0)
        data = np.concatenate(batches).astype(np.float64)
        mean, std = value.state()["statistics"][:2]
        assert (mean, std) == (pytest.approx(data.mean()), pytest.approx(data.std()))

    @pytest.mark.parametrize("noise", [0.0, 1e-7])
    def test_constant_returns_are_learned_and_forgotten(self, noise):
        value, (x, returns) = make_value(), problem()
        constant = np.float32(1.0) + np.float32(noise) * np.sign(x[:, 0])
        for _ in range(20):
            value.fit(x, constant, generator(), 1.0)
        assert np.isfinite(value.parameters).all()
        np.testing.assert_allclose(value.predict(x), 1.0, atol=0.1)
        for _ in range(60):
            value.fit(x, returns, generator(), 1.0)
        assert explained_variance(value.predict(x), returns) > 0.9

    def test_the_schedule_scales_the_step(self):
        """Adam's first step is the rate, whatever the gradient, where the latter is not tiny."""
        moved = []
        for remaining in (1.0, 0.5):
            value = make_value(
                schedule="linear", epochs=1, minibatch_size=None, normalize_targets=False
            )
            before = value.parameters.copy()
            value.fit(*problem(), generator(), remaining)
            moved.append(abs(value.parameters - before).max())
        # One rounding of a float32 parameter of order one, against 3e-3.
        assert moved[0] == pytest.approx(3e-3, rel=1e-3)
        assert moved[1] == pytest.approx(1.5e-3, rel=1e-3)

    def test_a_gradient_that_is_not_finite_is_left_out(self):
        value, (x, returns) = make_value(normalize_targets=False), problem()
        before = value.parameters.copy()
        value.fit(np.full_like(x, np.nan), returns, generator(), 1.0)
        np.testing.assert_array_equal(value.parameters, before)

    def test_clips_the_gradient(self):
        """Far below Adam's eps of 1e-8 the step shrinks with the gradient."""
        value, (x, returns) = make_value(max_grad_norm=1e-12), problem()
        before = value.predict(x)
        value.fit(x, returns, generator(), 1.0)
        np.testing.assert_allclose(value.predict(x), before + returns.mean(), atol=1e-3)

    def test_leaves_its_data_and_the_global_generator_alone(self):
        value, (x, returns) = make_value(), problem()
        copies, state = (x.copy(), returns.copy()), global_generators()
        value.fit(x, returns, generator(), 1.0)
        np.testing.assert_array_equal(x, copies[0])
        np.testing.assert_array_equal(returns, copies[1])
        assert global_generators() == state

    def test_same_generator_same_fit(self):
        results = []
        for _ in range(2):
            value = make_value()
            value.fit(*problem(), generator(), 1.0)
            results.append(value.parameters.copy())
        np.testing.assert_array_equal(results[0], results[1])


class TestCompiled:
    """Float32 parameters are fitted by compiled code, float64 ones in numpy: here the oracle."""

    @pytest.mark.parametrize("minibatch_size", [32, 100, None])
    @pytest.mark.parametrize("max_grad_norm", [None, 0.1])
    def test_the_numpy_form_agrees(self, minibatch_size, max_grad_norm):
        made = []
        for dtype in (np.float32, np.float64):
            value = make_value(minibatch_size=minibatch_size, max_grad_norm=max_grad_norm)
            network, parameters = value.network, value.parameters.astype(dtype)
            value = Value(value._config, network, parameters)
            assert packable(network, parameters, WHOLE) == (dtype == np.float32)
            rows = []
            for seed in range(2):
                x, returns = problem(seed)
                rows.append(value.fit(x, returns, generator(), 1.0))
            made.append((value, rows))
        (ours, rows), (theirs, expected) = made
        assert ours.state()["adam/steps"] == theirs.state()["adam/steps"]
        # Adam's steps of 3e-3 from gradients of 24 bits: some 1e-5 in up to 160 of them.
        np.testing.assert_allclose(ours.parameters, theirs.parameters, atol=5e-5)
        assert [row["value/loss"] for row in rows] == pytest.approx(
            [row["value/loss"] for row in expected], rel=1e-4
        )

    def test_wide_layers_spread_batches_and_other_numbers_go_the_numpy_way(self):
        network = make_value().network
        parameters = np.zeros(network.num_parameters, dtype=np.float32)
        assert packable(network, parameters, WHOLE)
        assert not packable(network, parameters.astype(np.float64), WHOLE)
        assert not packable(network, parameters, Split(numbers=np.arange(3), size=6))
        assert packable(MLP([5000, 64, 1]), parameters, WHOLE)
        assert not packable(MLP([3, 5000, 1]), parameters, WHOLE)


class TestState:
    def test_round_trip_goes_on_identically(self):
        value, x = make_value(), problem()[0]
        for seed in range(3):
            value.fit(*problem(seed), generator(), 1.0)
        other = make_value(seed=99)
        other.load_state({k: np.copy(v) for k, v in value.state().items()})
        np.testing.assert_array_equal(value.predict(x), other.predict(x))
        returns = problem(7)[1]
        rows = [part.fit(x, returns, generator(), 1.0) for part in (value, other)]
        assert rows[0] == rows[1]
        np.testing.assert_array_equal(value.predict(x), other.predict(x))


class TestQuadratic:
    """value=quadratic: least squares on x_i and x_i x_j."""

    def make(self, size):
        space = spaces.Box(-1.0, 1.0, (size,))
        settings = QuadraticValueConfig(ridge=1e-9)
        return settings.build(make_policy(), LinearPolicyConfig(), space, generator())

    def test_features_by_hand(self):
        found = quadratic_features(np.array([[2.0, 3.0]]))
        np.testing.assert_array_equal(found, [[2.0, 3.0, 4.0, 6.0, 9.0]])

    def test_finds_any_quadratic_function(self):
        draw = np.random.default_rng(3)
        p, q = draw.normal(size=(4, 4)), draw.normal(size=4)
        x, fresh = draw.normal(size=(2, 500, 4)).astype(np.float32)

        def function(z):
            return ((z @ p) * z).sum(axis=1) + z @ q - 7.0

        value = self.make(4)
        row = value.fit(x, function(x), generator(), 1.0)
        # The coefficients are float32, the terms of order ten.
        np.testing.assert_allclose(value.predict(fresh), function(fresh), atol=1e-4)
        assert row["value/loss"] < 1e-9

    def test_too_many_coefficients_are_refused(self):
        assert len(self.make(75).parameters) == 1 + 75 + 75 * 76 // 2
        with pytest.raises(UserError, match=r"value=quadratic has 3,002 coefficients.*value=mlp"):
            self.make(76)


class TestOnTensors:
    """V on torch tensors, as a GPU has it, against numpy's: in float64, from the same start."""

    @staticmethod
    def pair(**settings):
        ours, value = make_value(**settings), make_value(**settings)
        ours = Value(ours._config, ours.network, ours.parameters.astype(np.float64))
        network = TorchMLP(value.network, "cpu")
        parameters = torch.tensor(ours.parameters)
        return ours, Value(value._config, network, parameters)

    @pytest.mark.parametrize("alone", [False, True])
    @pytest.mark.parametrize("minibatch_size", [100, None])
    @pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
    def test_fits_are_the_same(self, monkeypatch, minibatch_size, kind, alone):
        """alone: by steps that a GPU takes by itself, with a step size that float32 holds."""
        if alone:
            monkeypatch.setattr(orders, "KINDS", ("cpu",))
        ours, theirs = self.pair(minibatch_size=minibatch_size, learning_rate=2.0**-8)
        assert takes_alone(theirs.parameters, WHOLE) == alone
        for seed in range(3):
            x, returns = (array.astype(np.float64) for array in problem(seed))
            expected = ours.fit(x, (seed + 1) * returns, generator(), 1.0)
            seen = theirs.to_device(x)
            found = theirs.fit(seen, kind((seed + 1) * returns), generator(), 1.0)
            assert found["value/loss"] == pytest.approx(expected["value/loss"], rel=1e-9)
            assert isinstance(theirs.predict(seen), np.ndarray)
            # Seven digits for what up to 90 steps make of roundings of 1e-16.
            np.testing.assert_allclose(theirs.predict(seen), ours.predict(x), rtol=1e-9)

    def test_either_resumes_the_other(self):
        ours, theirs = self.pair()
        x, returns = (array.astype(np.float64) for array in problem())
        theirs.fit(theirs.to_device(x), returns, generator(), 1.0)
        ours.load_state({key: as_numpy(array) for key, array in theirs.state().items()})
        np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-12)
        again = self.pair()[1]
        again.load_state(ours.state())
        for value in (theirs, again):
            value.fit(theirs.to_device(x), returns, generator(), 1.0)
        assert torch.equal(again.parameters, theirs.parameters)
