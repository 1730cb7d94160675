"""V(s) on the policy's own convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import ValueTraits, component
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.maths.arrays import Array
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue


@component("value")
@dataclass
class SharedValueConfig:
    """State value V(s) on the policy's own convolutions.

    VPG and the rules with minibatches (PPO, its penalty, dual) add its squared error to their loss;
    NPG and TRPO, whose step no other loss may bend, fit a linear function of the last hidden layer.
    """

    traits: ClassVar = ValueTraits(images=True, on_policy=True)

    coef: float = setting(
        help="VPG, PPO, dual: weight of the mean squared error in the loss",
        above=0,
        when="algo.fits_value",
    )
    ridge: float = setting(
        help="NPG, TRPO: weight of the squared coefficients beside the mean squared error",
        above=0,
        when="not algo.fits_value",
    )

    def build(
        self,
        policy: Policy,
        policy_settings: Any,
        space: spaces.Box,
        generator: np.random.Generator,
        together: bool = False,
    ) -> StateValue:
        if together:
            return SharedValue(policy)
        from trpo_cli.models.linear_value import LinearValue

        return LinearValue(policy, policy.features, policy_settings.hidden_size, self.ridge)


class SharedValue:
    """V(s) as one more output of the policy's network: the update rule fits both together.

    It owns no parameters and writes none.
    """

    parameters = np.zeros(0, dtype=np.float32)

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._last = np.zeros(0, dtype=np.float32)

    def to_device(self, inputs: Any) -> Any:
        """Network inputs as the policy's network wants them."""
        return self._policy.to_device(inputs)

    def predict(self, inputs: Any) -> np.ndarray:
        """V (n,)."""
        self._last = self._policy.values(inputs)
        return self._last

    def fit(
        self,
        observations: Any,
        returns: np.ndarray,
        generator: np.random.Generator,
        remaining: float,
        split: Split = WHOLE,
    ) -> dict[str, float]:
        """How well V fitted the returns when the batch was estimated: the last prediction begins
        with the batch, and another pass would cost as much as acting."""
        predictions = self._last[: len(returns)]
        return {
            "value/loss": float(split.average(np.mean((predictions - returns) ** 2))),
        }

    def state(self) -> dict[str, Array]:
        return {}

    def load_state(self, state: dict[str, Array]) -> None:
        pass
