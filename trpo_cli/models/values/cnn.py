"""V(s) of images by a network of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import ValueTraits, component
from trpo_cli.maths.schedule import SCHEDULES
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import Value


@component("value")
@dataclass
class CNNValueConfig:
    """State value V(s) of images by a network of its own, shaped as the policy's."""

    traits: ClassVar = ValueTraits(images=True)

    learning_rate: float = setting(help="Adam's step size", above=0)
    schedule: str = setting(help="step size over training", choices=SCHEDULES)
    epochs: int = setting(help="passes over each batch", low=1)
    minibatch_size: int | None = setting(
        help="samples per Adam step, at most the batch; null: all of it", low=1
    )
    max_grad_norm: float | None = setting(help="clip the gradient's norm; null: never", above=0)
    normalize_targets: bool = setting(help="fit standardised returns (outputs preserved)")

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
