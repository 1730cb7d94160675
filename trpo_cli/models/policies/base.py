"""What several policies have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.settings import CONTINUOUS, setting

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.heads import Head
    from trpo_cli.models.mlp import MLP
    from trpo_cli.models.policy import Policy

ACTIONS = "bounded actions: rescale [-1, 1] to the bounds, clip at them, squash by tanh, or raw"
ACTION_CHOICES = ("rescale", "clip", "squash", "raw")
INIT_LOG_STD = "first log standard deviation (continuous actions)"
NORMALIZE = "running mean and variance of observations"
CLIP = "bound on normalised observations"


PRECISION = (
    "what the layers compute in (parameters and the last layer stay float32); auto: bfloat16 for "
    "all rules but those that bound the KL where the processor is made for it, otherwise float32"
)


@dataclass
class VectorConfig:
    """The settings of a policy on vectors of numbers."""

    output_gain: float = setting(help="gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(help=INIT_LOG_STD, when=CONTINUOUS)
    normalize_observations: bool = setting(help=NORMALIZE)
    observation_clip: float = setting(help=CLIP, above=0, when="normalize_observations=true")
    actions: str = setting(help=ACTIONS, choices=ACTION_CHOICES, when=CONTINUOUS)


@dataclass
class CNNConfig:
    """The settings of a convolutional network. convolutions: channels, kernel and stride of each
    layer. frame: height and width of an emulated game's frames; None: the usual ones."""

    convolutions: ClassVar[tuple[tuple[int, int, int], ...]]
    frame: ClassVar[tuple[int, int] | None] = None

    hidden_size: int = setting(help="units of the layer behind the convolutions", low=1)
    activation: str = setting(help="hidden activation", choices=["tanh", "relu"])
    output_gain: float = setting(help="gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(help=INIT_LOG_STD, when=CONTINUOUS)
    actions: str = setting(help=ACTIONS, choices=ACTION_CHOICES, when=CONTINUOUS)
    precision: str = setting(help=PRECISION, choices=["auto", "float32", "bfloat16"])

    def build(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        generator: np.random.Generator,
        device: str = "cpu",
        with_value: bool = False,
    ) -> Policy:
        from trpo_cli.models.image_networks import image_policy

        return image_policy(self, observation_space, action_space, generator, device, with_value)


def mlp_policy(
    settings: VectorConfig,
    mlp: MLP,
    head: Head,
    observation_space: spaces.Box,
    generator: np.random.Generator,
    device: str,
) -> Policy:
    """A policy on an MLP: in closed form, in numpy on a CPU and in torch on another device."""
    from trpo_cli.models.normalizer import Normalizer
    from trpo_cli.models.policy import Policy

    normalizer = Normalizer(
        observation_space.shape, settings.observation_clip, settings.normalize_observations
    )
    size = mlp.num_parameters
    parameters = np.zeros(size + head.num_extra, dtype=np.float32)
    mlp.initialize(parameters[:size], generator, settings.output_gain)
    parameters[size:] = settings.init_log_std
    if device == "cpu":
        return Policy(mlp, head, normalizer, parameters)
    from trpo_cli.models.torch_mlp import TorchMLP

    network = TorchMLP(mlp, device)
    return Policy(network, head, normalizer, network.to_device(parameters))
