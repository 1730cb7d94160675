"""What every value function's settings offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trpo_cli.components import ValueTraits

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue


class ValueSettings(Protocol):
    """The settings of a value function."""

    name: str
    traits: ValueTraits

    def build(
        self,
        policy: Policy,
        policy_settings: Any,
        space: spaces.Box,
        generator: np.random.Generator,
        together: bool = False,
    ) -> StateValue:
        """The value function with its first parameters.

        policy_settings: those of the policy. space: of the observations. together: the update rule
        fits it together with the policy.
        """
        ...
