import numpy as np
import pytest
import torch

from tests.support.small import numpy
from trpo_cli.maths.adam import Adam, clip_norm


def gradients(count, size=6):
    """Gradients of very different sizes, some exactly zero."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(count, size)) * 10.0 ** rng.integers(-6, 4, size=(count, 1))
    values[3] = 0.0
    return values


class TestAdam:
    @pytest.mark.parametrize("eps", [1e-8, 1e-3])
    def test_torch_agrees(self, array, eps):
        start = np.linspace(-1.0, 1.0, 6)
        ours, theirs = array(start), torch.tensor(start, requires_grad=True)
        adam = Adam(ours, (0.8, 0.95), eps)
        oracle = torch.optim.Adam([theirs], betas=(0.8, 0.95), eps=eps)
        for k, gradient in enumerate(gradients(20)):
            rate = 0.1 / (k + 1)
            adam.step(array(gradient), rate)
            oracle.param_groups[0]["lr"] = rate
            theirs.grad = torch.tensor(gradient)
            oracle.step()
            np.testing.assert_allclose(numpy(ours), theirs.detach().numpy(), rtol=1e-12)

    def test_torch_counts_the_write(self):
        """Networks keep converted weights until the parameters' version moves."""
        parameters = torch.zeros(3)
        before = parameters._version
        Adam(parameters).step(torch.ones(3), 0.1)
        assert parameters._version > before

    @pytest.mark.parametrize("max_norm", [None, 0.7])
    def test_a_step_without_an_answer_is_the_same_step(self, max_norm):
        """What a GPU does: usable gradients move the parameters as they do with an answer, others
        leave everything alone and are not counted."""
        sets = [torch.linspace(-1.0, 1.0, 6, dtype=torch.float64) for _ in range(2)]
        asked, unasked = Adam(sets[0]), Adam(sets[1])
        bad = [torch.zeros(6), torch.full((6,), float("nan")), torch.tensor([float("inf")] * 6)]
        for k, values in enumerate(gradients(12)):
            gradient = torch.tensor(values) if k % 3 else bad[k // 3 % 3].double()
            answer = asked.clipped_step(gradient.clone(), 0.01, max_norm)
            unasked.clipped_step_there(gradient.clone(), 0.01, max_norm)
            assert bool(answer) == (not gradient.isfinite().all() or not gradient.any())
            torch.testing.assert_close(sets[0], sets[1], rtol=1e-14, atol=0.0)
            assert asked.steps == unasked.steps
        assert 0 < asked.steps < 12
        assert torch.isfinite(sets[1]).all()

    def test_leaves_the_gradient_alone(self, array):
        gradient = array([1.0, -2.0])
        Adam(array([0.0, 0.0])).step(gradient, 0.1)
        np.testing.assert_array_equal(numpy(gradient), [1.0, -2.0])

    def test_state_resumes_bit_for_bit(self, array):
        parameters = array(np.zeros(6))
        adam = Adam(parameters)
        for gradient in gradients(10):
            adam.step(array(gradient), 0.01)
        resumed = array(numpy(parameters))
        other = Adam(resumed)
        other.load_state({k: array(numpy(v)) for k, v in adam.state().items()})
        for gradient in gradients(10)[::-1]:
            adam.step(array(gradient), 0.01)
            other.step(array(gradient), 0.01)
        np.testing.assert_array_equal(numpy(parameters), numpy(resumed))
        assert other.steps == 20


class TestClipNorm:
    def test_torch_agrees(self, array):
        values = np.random.default_rng(0).normal(size=7)
        ours, theirs = array(values), torch.zeros(7, dtype=torch.float64, requires_grad=True)
        theirs.grad = torch.tensor(values)
        assert clip_norm(ours, 0.5) == ""
        torch.nn.utils.clip_grad_norm_([theirs], 0.5)
        # torch divides by the norm + 1e-6.
        np.testing.assert_allclose(numpy(ours), theirs.grad.numpy(), rtol=2e-6)
        assert np.linalg.norm(numpy(ours)) == pytest.approx(0.5, rel=1e-12)

    @pytest.mark.parametrize("max_norm", [None, 5.0, 5.1])
    def test_shorter_ones_are_left_alone(self, array, max_norm):
        gradient = array([3.0, 4.0])
        assert clip_norm(gradient, max_norm) == ""
        np.testing.assert_array_equal(numpy(gradient), [3.0, 4.0])

    @pytest.mark.parametrize(
        ("gradient", "reason"),
        [
            ([0.0, 0.0], "zero gradient"),
            ([np.nan, 1.0], "gradient is not finite"),
            ([-np.inf, 1.0], "gradient is not finite"),
        ],
    )
    def test_reasons(self, array, gradient, reason):
        assert clip_norm(array(gradient), 1.0) == reason
