"""V(s) by a multi-layer perceptron, fitted to returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import ValueTraits, component
from trpo_cli.models.mlp import ACTIVATIONS
from trpo_cli.models.values.base import RegressionConfig
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import Value


@component("value")
@dataclass
class MLPValueConfig(RegressionConfig):
    """State value V(s) by regression on the returns, on the policy's device."""

    traits: ClassVar = ValueTraits(by_epochs=True)

    hidden_sizes: list[int] = setting(help="units of each hidden layer", low=1)
    activation: str = setting(help="hidden activation", choices=ACTIVATIONS)
    layer_norm: bool = setting(
        help="normalise what each hidden layer gives its activation, in every state"
    )

    def build(
        self,
        policy: Policy,
        policy_settings: Any,
        space: spaces.Box,
        generator: np.random.Generator,
        together: bool = False,
    ) -> Value:
        from trpo_cli.models.mlp import MLP
        from trpo_cli.models.value import Value

        sizes = [math.prod(space.shape) + policy.state_size, *self.hidden_sizes, 1]
        mlp = MLP(sizes, self.activation, layer_norm=self.layer_norm)
        parameters = np.zeros(mlp.num_parameters, dtype=np.float32)
        mlp.initialize(parameters, generator, output_gain=0.01)
        device = str(getattr(policy.network, "device", "cpu"))  # numpy's have none
        if device == "cpu":
            return Value(self, mlp, parameters)
        from trpo_cli.models.torch_mlp import TorchMLP

        network = TorchMLP(mlp, device)
        return Value(self, network, network.to_device(parameters))
