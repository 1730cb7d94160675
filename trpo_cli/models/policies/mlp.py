"""A policy with a multi-layer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trpo_cli.components import PolicyTraits, component
from trpo_cli.models.mlp import ACTIVATIONS
from trpo_cli.models.policies.base import LOG_STD, VectorConfig, mlp_policy
from trpo_cli.settings import CONTINUOUS, setting

if TYPE_CHECKING:
    import numpy as np
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy


@component("policy")
@dataclass
class MLPPolicyConfig(VectorConfig):
    """Gaussian or categorical policy with a multi-layer perceptron."""

    traits: ClassVar = PolicyTraits(closed_form=True)

    hidden_sizes: list[int] = setting(help="units of each hidden layer", low=1)
    activation: str = setting(help="hidden activation", choices=ACTIVATIONS)
    layer_norm: bool = setting(
        help="normalise what each hidden layer gives its activation, in every state"
    )
    log_std: str = setting(help=LOG_STD, choices=["shared", "state"], when=CONTINUOUS)

    def build(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        generator: np.random.Generator,
        device: str = "cpu",
        with_value: bool = False,
    ) -> Policy:
        from trpo_cli.models.heads import make_head
        from trpo_cli.models.mlp import MLP

        first = self.init_log_std if self.log_std == "state" else None
        head = make_head(action_space, self.actions, first, self.min_log_std)
        features = math.prod(observation_space.shape)
        sizes = [features, *self.hidden_sizes, head.num_outputs]
        mlp = MLP(sizes, self.activation, layer_norm=self.layer_norm)
        return mlp_policy(self, mlp, head, observation_space, generator, device)
