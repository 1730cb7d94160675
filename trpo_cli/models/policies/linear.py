"""A policy that is linear in the observation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trpo_cli.components import PolicyTraits, component
from trpo_cli.models.policies.base import VectorConfig, mlp_policy
from trpo_cli.settings import setting

if TYPE_CHECKING:
    import numpy as np
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy


@component("policy")
@dataclass
class LinearPolicyConfig(VectorConfig):
    """Linear-Gaussian policy u ~ N(Wx + b, sigma), or softmax of a linear map."""

    traits: ClassVar = PolicyTraits(closed_form=True)

    bias: bool = setting(help="add a constant term")

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

        head = make_head(action_space, self.actions, min_log_std=self.min_log_std)
        mlp = MLP([math.prod(observation_space.shape), head.num_outputs], bias=self.bias)
        return mlp_policy(self, mlp, head, observation_space, generator, device)
