import numpy as np
import pytest
import torch

from trpo_cli.data.frames import FrameStacks, channels_first, colours_last, concatenate

PLANES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
INDEX = np.array([[0, 1], [1, 2], [4, 4], [3, 0]])


class TestFrameStacks:
    @pytest.mark.parametrize("kind", ["numpy", "torch"])
    def test_is_the_stacked_images(self, kind):
        convert = torch.from_numpy if kind == "torch" else np.asarray
        stacks = FrameStacks(convert(PLANES), convert(INDEX))
        assert (len(stacks), stacks.shape) == (4, (4, 2, 2, 3))
        expected = np.array([[PLANES[a], PLANES[b]] for a, b in INDEX])
        np.testing.assert_array_equal(np.asarray(stacks.stack()), expected)
        for rows in (slice(1, 3), np.array([3, 0, 0]), np.array([True, False, False, True])):
            part = stacks[rows]
            np.testing.assert_array_equal(np.asarray(part.stack()), expected[rows])
            assert part.planes is stacks.planes

    def test_concatenate(self):
        stacks = FrameStacks(PLANES, INDEX)
        joined = concatenate([stacks[2:], stacks[:0], stacks[:1]])
        np.testing.assert_array_equal(joined.index, INDEX[[2, 3, 0]])
        assert joined.planes is PLANES
        np.testing.assert_array_equal(concatenate([PLANES, PLANES[:1]]), PLANES[[0, 1, 2, 3, 4, 0]])

    def test_concatenate_refuses_other_planes(self):
        with pytest.raises(AssertionError):
            concatenate([FrameStacks(PLANES, INDEX), FrameStacks(PLANES.copy(), INDEX)])


class TestColours:
    @pytest.mark.parametrize(
        ("shape", "last"),
        [
            ((210, 160, 3), True),
            ((96, 96, 1), True),
            ((84, 84, 12), True),
            ((4, 84, 84), False),
            ((4, 52, 40), False),
            ((3, 3, 3), False),
            ((84, 84), False),
        ],
    )
    def test_the_shortest_axis_is_that_of_the_channels(self, shape, last):
        assert colours_last(shape) == last

    def test_channels_first(self):
        x = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
        y = channels_first(x)
        assert y.shape == (2, 3, 5, 4) and y.flags.c_contiguous
        for n, row, column, colour in np.ndindex(x.shape):
            assert y[n, colour, row, column] == x[n, row, column, colour]
        assert channels_first(y) is y
