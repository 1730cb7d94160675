"""No value function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import ValueTraits, component
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.maths.arrays import Array

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy


@component("value")
@dataclass
class NoValueConfig:
    """No value function, V = 0: what would follow where a trajectory is cut is missing."""

    traits: ClassVar = ValueTraits(learned=False)

    def build(
        self,
        policy: Policy,
        policy_settings: Any,
        space: spaces.Box,
        generator: np.random.Generator,
        together: bool = False,
    ) -> NoValue:
        return NoValue(policy)


class NoValue:
    """V = 0 everywhere: nothing is learned, and nothing stands for rewards that were not seen."""

    parameters = np.zeros(0, dtype=np.float32)

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def to_device(self, inputs: Any) -> Any:
        """Network inputs as the policy's network wants them."""
        return self._policy.to_device(inputs)

    def predict(self, inputs: Any) -> np.ndarray:
        """Zeros (n,)."""
        return np.zeros(len(inputs), dtype=np.float32)

    def fit(
        self,
        observations: Any,
        returns: np.ndarray,
        generator: np.random.Generator,
        remaining: float,
        split: Split = WHOLE,
    ) -> dict[str, float]:
        """Nothing, and no metrics."""
        return {}

    def state(self) -> dict[str, Array]:
        return {}

    def load_state(self, state: dict[str, Array]) -> None:
        pass
