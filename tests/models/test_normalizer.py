import numpy as np
import pytest

from trpo_cli.data.frames import FrameStacks
from trpo_cli.models.normalizer import IdentityNormalizer, Normalizer

BATCHES = [(1, 3.0, 0.5), (50, -2.0, 4.0), (7, 100.0, 0.1), (300, 0.0, 1.0)]


def batches():
    rng = np.random.default_rng(0)
    return [rng.normal(mean, std, (n, 2)).astype(np.float32) for n, mean, std in BATCHES]


class TestNormalizer:
    def test_merged_batches_are_one_batch(self):
        normalizer = Normalizer((2,), 1e9)
        for batch in batches():
            normalizer.update(batch)
        data = np.concatenate(batches()).astype(np.float64)
        np.testing.assert_allclose(normalizer.mean, data.mean(0), rtol=1e-12)
        np.testing.assert_allclose(normalizer.square / normalizer.count, data.var(0), rtol=1e-12)
        assert normalizer.count == len(data)
        expected = (data - data.mean(0)) / data.std(0)
        # float32 with values up to 100.
        np.testing.assert_allclose(normalizer(data), expected, atol=1e-5)

    def test_clips_at_the_bound_and_before_any_data_only_clips(self):
        normalizer = Normalizer((1,), 2.0)
        np.testing.assert_array_equal(
            normalizer(np.array([[-5.0], [0.5], [9.0]])), [[-2], [0.5], [2]]
        )
        normalizer.update(np.array([[-10.0], [10.0]]))
        np.testing.assert_allclose(normalizer(np.array([[5.0], [1e6]])), [[0.5], [2.0]])

    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_a_constant_column_is_only_centred(self, constant):
        normalizer = Normalizer((1,), 10.0)
        for _ in range(5):
            normalizer.update(np.full((33, 1), constant, np.float32))
        x = np.array([[constant], [constant + 3.0]], dtype=np.float32)
        np.testing.assert_allclose(normalizer(x), [[0.0], [3.0]], atol=1e-6)

    def test_calls_change_nothing(self):
        normalizer = Normalizer((2,), 5.0)
        normalizer.update(batches()[1])
        before = {k: np.copy(v) for k, v in normalizer.state().items()}
        x = batches()[3]
        kept = x.copy()
        normalizer(x)
        np.testing.assert_array_equal(x, kept)
        for key, value in normalizer.state().items():
            np.testing.assert_array_equal(value, before[key])

    def test_a_result_outlives_the_next_call(self):
        normalizer = Normalizer((2,), 5.0)
        first = normalizer(batches()[1])
        kept = first.copy()
        normalizer(-batches()[1])
        np.testing.assert_array_equal(first, kept)

    def test_disabled_is_the_identity(self):
        normalizer = Normalizer((2,), 1.0, enabled=False)
        normalizer.update(batches()[2])
        np.testing.assert_array_equal(normalizer(batches()[2]), batches()[2])

    def test_state_gives_identical_outputs_and_goes_on_identically(self):
        first, second = Normalizer((2,), 5.0), Normalizer((2,), 5.0)
        first.update(batches()[1])
        second.load_state({k: np.copy(v) for k, v in first.state().items()})
        for normalizer in (first, second):
            normalizer.update(batches()[2])
        np.testing.assert_array_equal(first(batches()[3]), second(batches()[3]))

    def test_loading_shares_nothing(self):
        first, second = Normalizer((2,), 5.0), Normalizer((2,), 5.0)
        first.update(batches()[1])
        second.load_state(first.state())
        before = {k: np.copy(v) for k, v in first.state().items()}
        second.update(batches()[2])
        for key, value in first.state().items():
            np.testing.assert_array_equal(value, before[key])

    def test_shapes_and_integers(self):
        normalizer = Normalizer((2, 3), 10.0)
        x = np.random.default_rng(0).integers(0, 256, (40, 2, 3), dtype=np.uint8)
        normalizer.update(x)
        y = normalizer(x)
        assert (y.shape, y.dtype) == ((40, 6), np.float32)
        expected = (x - x.mean(0)) / x.std(0)
        np.testing.assert_allclose(y, expected.reshape(40, 6), atol=1e-5)


class TestImages:
    def test_bytes_go_through_with_their_channels_first(self):
        x = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)
        images = IdentityNormalizer()
        before = x.copy()
        images.update(x)
        np.testing.assert_array_equal(images(x), np.moveaxis(x, -1, 1))
        np.testing.assert_array_equal(x, before)
        assert images(x).dtype == np.uint8 and images.state() == {}
        stacks = FrameStacks(x[..., 0], np.array([[0, 1]]))
        assert images(stacks) is stacks
