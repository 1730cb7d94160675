"""V(s) = s'Ps + p's + c by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import ValueTraits, component
from trpo_cli.errors import UserError
from trpo_cli.maths.arrays import Array, as_numpy
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.linear_value import LinearValue
    from trpo_cli.models.policy import Policy

MAX_FEATURES = 3000
"""Most coefficients that are solved for."""


@component("value")
@dataclass
class QuadraticValueConfig:
    """State value V(s) = s'Ps + p's + c by least squares on the returns.

    Exact where the dynamics are linear and the costs quadratic.
    """

    traits: ClassVar = ValueTraits()

    ridge: float = setting(
        help="weight of the squared coefficients beside the mean squared error", above=0
    )

    def build(
        self,
        policy: Policy,
        policy_settings: Any,
        space: spaces.Box,
        generator: np.random.Generator,
        together: bool = False,
    ) -> LinearValue:
        from trpo_cli.models.linear_value import LinearValue

        inputs = math.prod(space.shape) + policy.state_size
        return LinearValue(policy, quadratic_features, feature_count(inputs), self.ridge)


def quadratic_features(inputs: Array) -> np.ndarray:
    """x_i and x_i x_j, j >= i: inputs (n, k), numpy or a tensor, -> (n, k + k (k + 1) / 2)."""
    inputs = as_numpy(inputs)
    rows, columns = np.triu_indices(inputs.shape[1])
    return np.concatenate([inputs, inputs[:, rows] * inputs[:, columns]], axis=1)


def feature_count(inputs: int) -> int:
    """How many features, within what least squares bears."""
    count = inputs + inputs * (inputs + 1) // 2
    if count > MAX_FEATURES:
        raise UserError(
            f"value=quadratic has {count:,} coefficients for observations of {inputs} numbers, and "
            f"at most {MAX_FEATURES:,} can be solved for; try value=mlp."
        )
    return count
