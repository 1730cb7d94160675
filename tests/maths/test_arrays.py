import numpy as np
import torch

from tests.support.small import numpy
from trpo_cli.maths.arrays import copy, namespace, norm


class TestNamespace:
    def test_is_the_library_of_the_array(self):
        assert namespace(np.zeros(1)) is np
        assert namespace(torch.zeros(1)) is torch


class TestCopy:
    def test_shares_nothing(self, array):
        x = array([1.0, 2.0])
        y = copy(x)
        x[:] = 0.0
        np.testing.assert_array_equal(numpy(y), [1.0, 2.0])


class TestNorm:
    def test_is_euclidean(self, array):
        assert norm(array([3.0, -4.0])) == 5.0
