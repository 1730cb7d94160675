import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import (
    SPACES,
    head_for,
    numpy,
    oracle_entropy,
    oracle_kl,
    oracle_log_prob,
    oracle_parts,
    tensor,
)
from trpo_cli.maths.discrete import Bernoulli, Categorical
from trpo_cli.maths.distributions import Gaussian, Parameters, mean_kl

STATES = 5


@pytest.fixture(params=SPACES, ids=lambda space: type(space).__name__)
def case(request, array):
    """One kind of distribution at random parameters, and what the oracle needs."""
    space, rng = request.param, np.random.default_rng(0)
    head = head_for(space)
    draw = SimpleNamespace(space=space, array=array, head=head)
    draw.outputs = rng.normal(size=(STATES, head.num_outputs)) * 2.0
    draw.extra = rng.normal(size=head.num_extra) * 0.5
    actions = head.act(draw.outputs, draw.extra, head.noise(rng, (STATES,)))
    draw.actions = array(actions.astype(np.float64) if isinstance(space, spaces.Box) else actions)
    draw.weights = rng.normal(size=STATES)
    draw.tangent = Parameters(
        array(rng.normal(size=draw.outputs.shape)), array(rng.normal(size=draw.extra.shape))
    )
    draw.ours = head.distribution(array(draw.outputs), array(draw.extra))
    draw.other_outputs, draw.other_extra = rng.normal(size=draw.outputs.shape), draw.extra + 0.3
    draw.other = head.distribution(array(draw.other_outputs), array(draw.other_extra))
    draw.leaves = tensor(draw.outputs).requires_grad_(), tensor(draw.extra).requires_grad_()
    draw.oracle = oracle_parts(space, *draw.leaves)
    return draw


def assert_gradient(ours, value, leaves):
    """`ours` is the gradient of the scalar tensor `value`."""
    expected = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    np.testing.assert_allclose(numpy(ours.outputs), expected[0].numpy(), atol=1e-12)
    np.testing.assert_allclose(numpy(ours.extra), expected[1].numpy(), atol=1e-12)


class TestLogProb:
    def test_torch_distributions_agree(self, case):
        expected = oracle_log_prob(case.oracle, case.actions).detach().numpy()
        np.testing.assert_allclose(numpy(case.ours.log_prob(case.actions)), expected, rtol=1e-12)


class TestLogProbVjp:
    def test_autograd_agrees(self, case):
        log_prob, vjp = case.ours.log_prob_vjp(case.actions)
        expected = oracle_log_prob(case.oracle, case.actions)
        np.testing.assert_allclose(numpy(log_prob), expected.detach().numpy(), rtol=1e-12)
        weighted = (tensor(case.weights) * expected).sum()
        assert_gradient(vjp(case.array(case.weights)), weighted, case.leaves)


class TestLogProbJvp:
    def test_autograd_agrees(self, case):
        """With t the tangent and w any weights, w'(J t) = (J'w)'t."""
        _, vjp = case.ours.log_prob_vjp(case.actions)
        weighted = vjp(case.array(case.weights))
        along = numpy(case.ours.log_prob_jvp(case.actions, case.tangent))
        pulled = (numpy(weighted.outputs) * numpy(case.tangent.outputs)).sum()
        pulled += (numpy(weighted.extra) * numpy(case.tangent.extra)).sum()
        assert along.shape == (STATES,)
        assert case.weights @ along == pytest.approx(pulled, rel=1e-12)

    def test_each_state_has_its_own(self, case):
        """One state's row of the same product, by autograd."""
        along = numpy(case.ours.log_prob_jvp(case.actions, case.tangent))
        for b, log_prob in enumerate(oracle_log_prob(case.oracle, case.actions)):
            parts = torch.autograd.grad(
                log_prob, case.leaves, allow_unused=True, materialize_grads=True, retain_graph=True
            )
            expected = sum(
                float((g * tensor(t)).sum()) for g, t in zip(parts, case.tangent, strict=True)
            )
            assert along[b] == pytest.approx(expected, rel=1e-10)


class TestEntropy:
    def test_torch_distributions_agree(self, case):
        expected = oracle_entropy(case.oracle).detach().numpy()
        np.testing.assert_allclose(numpy(case.ours.entropy()), expected, rtol=1e-12)


class TestEntropyGradient:
    def test_autograd_agrees(self, case):
        assert_gradient(
            case.ours.entropy_gradient(), oracle_entropy(case.oracle).mean(), case.leaves
        )


class TestKlFrom:
    def test_torch_distributions_agree(self, case):
        other = oracle_parts(case.space, tensor(case.other_outputs), tensor(case.other_extra))
        expected = oracle_kl(case.oracle, other).detach().numpy()
        np.testing.assert_allclose(numpy(case.other.kl_from(case.ours)), expected, rtol=1e-10)

    def test_of_itself_is_exactly_zero(self, case):
        assert not numpy(case.ours.kl_from(case.ours.detach())).any()

    # Worked out by hand; the other direction has another value in each of the three.
    def test_gaussian_direction(self, array):
        old = Gaussian(array([[0.0]]), array([0.0]))
        new = Gaussian(array([[1.0]]), array([math.log(2.0)]))
        # log(2 / 1) + (1 + 1) / (2 * 4) - 1 / 2; the reverse is 2 - log 2.
        assert float(new.kl_from(old)[0]) == pytest.approx(math.log(2.0) - 0.25)
        assert float(old.kl_from(new)[0]) == pytest.approx(2.0 - math.log(2.0))

    def test_categorical_direction(self, array):
        old = Categorical(array([[0.0, 0.0]]), (2,))
        new = Categorical(array([[0.0, math.log(3.0)]]), (2,))
        # 1/2 log(1/2 / 1/4) + 1/2 log(1/2 / 3/4)
        assert float(new.kl_from(old)[0]) == pytest.approx(0.5 * math.log(4.0 / 3.0))

    def test_bernoulli_direction(self, array):
        old, new = Bernoulli(array([[0.0]])), Bernoulli(array([[math.log(3.0)]]))
        assert float(new.kl_from(old)[0]) == pytest.approx(0.5 * math.log(4.0 / 3.0))

    def test_gaussian_keeps_digits_near_equality(self, array):
        """KL ~ (d log sigma)^2 in float32: 1e-10 would drown in rounding of the textbook form."""
        old = Gaussian(array(np.zeros((1, 1), np.float32)), array(np.zeros(1, np.float32)))
        new = Gaussian(old.mean, array(np.full(1, 1e-5, np.float32)))
        assert float(new.kl_from(old)[0]) == pytest.approx(1e-10, rel=0.05)


class TestKlGradient:
    def test_autograd_agrees(self, case):
        """Of KL(other || ours), with respect to ours, away from equality."""
        other = oracle_parts(case.space, tensor(case.other_outputs), tensor(case.other_extra))
        gradient = case.ours.kl_gradient(case.other)
        assert_gradient(gradient, oracle_kl(other, case.oracle).mean(), case.leaves)
        assert abs(numpy(gradient.outputs)).max() > 0.01

    def test_vanishes_exactly_at_equality(self, case):
        gradient = case.ours.kl_gradient(case.ours.detach())
        assert not numpy(gradient.outputs).any() and not numpy(gradient.extra).any()

    def test_of_no_states_is_zero(self, case):
        """What a process may have of a minibatch."""
        nothing = case.ours.rows(slice(0, 0))
        _, vjp = nothing.log_prob_vjp(case.actions[:0])
        for gradient in (
            nothing.kl_gradient(case.other.rows(slice(0, 0))),
            vjp(case.array(case.weights[:0])),
            nothing.entropy_gradient().times(0.0),
        ):
            assert numpy(gradient.outputs).shape == (0, case.head.num_outputs)
            np.testing.assert_array_equal(numpy(gradient.extra), np.zeros(case.head.num_extra))


class TestRows:
    def test_are_those_of_the_states(self, case):
        for index in (slice(1, 3), [4, 0]):
            found = case.ours.rows(index).log_prob(case.actions[index])
            expected = numpy(case.ours.log_prob(case.actions))[index]
            np.testing.assert_array_equal(numpy(found), expected)


class TestFisher:
    def test_is_the_hessian_of_the_kl(self, case):
        """M t / B = H t, with H of mean KL(old || new) at equal distributions by autograd."""
        outputs, extra = (leaf.detach() for leaf in case.leaves)
        old, split = oracle_parts(case.space, outputs, extra), outputs.numel()

        def kl(flat):
            new = oracle_parts(case.space, flat[:split].view(outputs.shape), flat[split:])
            return oracle_kl(old, new).mean()

        flat = torch.cat([outputs.flatten(), extra])
        hessian = torch.autograd.functional.hessian(kl, flat)
        tangent = torch.cat([tensor(case.tangent.outputs).flatten(), tensor(case.tangent.extra)])
        expected = (hessian @ tangent).numpy()
        ours = case.ours.fisher(case.tangent)
        np.testing.assert_allclose(numpy(ours.outputs).ravel(), expected[:split], atol=1e-12)
        np.testing.assert_allclose(numpy(ours.extra), expected[split:], atol=1e-12)


class TestDetach:
    def test_later_writes_do_not_reach_the_copy(self, case):
        copy, before = case.ours.detach(), numpy(case.ours.log_prob(case.actions)).copy()
        written = [x for x in vars(case.ours).values() if not isinstance(x, tuple)]
        for x in written:
            x[..., :1] += 1.0
        assert not np.array_equal(numpy(case.ours.log_prob(case.actions)), before)
        np.testing.assert_array_equal(numpy(copy.log_prob(case.actions)), before)


class TestExtremes:
    """Saturated policies in float32: everything that training uses stays finite."""

    @pytest.mark.parametrize("space", SPACES[2:], ids=lambda space: type(space).__name__)
    def test_logits(self, array, space):
        head = head_for(space)
        signs = np.where(np.arange(head.num_outputs) % 2, 1.0, -1.0)
        outputs = np.stack([1e4 * signs, -1e4 * signs]).astype(np.float32)
        actions = array(head.act(outputs[::-1], outputs[0, :0], None))  # the unlikely ones
        ours = head.distribution(array(outputs), array(outputs[0, :0]))
        old = head.distribution(array(outputs[::-1].copy()), array(outputs[0, :0]))
        log_prob, vjp = ours.log_prob_vjp(actions)
        tangent = Parameters(array(np.ones_like(outputs)), array(outputs[0, :0]))
        for result in (
            log_prob,
            vjp(array(np.ones(2, np.float32))).outputs,
            ours.entropy(),
            ours.entropy_gradient().outputs,
            ours.kl_from(old),
            ours.fisher(tangent).outputs,
        ):
            assert np.isfinite(numpy(result)).all()
        # Every action that the other policy prefers is at least 1e4 nats away from this one's.
        assert (numpy(log_prob) <= -1e4).all()


class TestMeanKl:
    def test_is_the_mean_over_states_in_the_order_of_its_arguments(self, case):
        expected = numpy(case.other.kl_from(case.ours)).mean()
        assert float(mean_kl(case.ours, case.other)) == pytest.approx(expected)
        assert expected != pytest.approx(numpy(case.ours.kl_from(case.other)).mean())
