"""V(s) of images by a network of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import ValueTraits, component
from trpo_cli.models.values.base import RegressionConfig

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import Value


@component("value")
@dataclass
class CNNValueConfig(RegressionConfig):
    """State value V(s) of images by a network of its own, shaped as the policy's."""

    traits: ClassVar = ValueTraits(images=True, by_epochs=True)

    def build(
        self,
        policy: Policy,
        policy_settings: Any,
        space: spaces.Box,
        generator: np.random.Generator,
        together: bool = False,
    ) -> Value:
        from trpo_cli.models.image_networks import image_network
        from trpo_cli.models.value import Value

        device = str(policy.parameters.device)
        network, start = image_network(policy_settings, space, 1, generator, 0.01, device)
        return Value(self, network, network.to_device(start))
