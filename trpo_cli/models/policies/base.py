"""What several policies have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.errors import UserError
from trpo_cli.models.mlp import ACTIVATIONS
from trpo_cli.settings import CONTINUOUS, SHARED_STD, setting

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.models.heads import Head
    from trpo_cli.models.mlp import MLP
    from trpo_cli.models.normalizer import Normalizer
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.recurrent import RecurrentNetwork

ACTIONS = "bounded actions: rescale [-1, 1] to the bounds, clip at them, squash by tanh, or raw"
ACTION_CHOICES = ("rescale", "clip", "squash", "raw")
INIT_LOG_STD = "first log standard deviation (continuous actions)"
MIN_LOG_STD = (
    "floor of the log standard deviation, where all states share one: nearly sure of its actions, "
    "a policy hardly tries any, and a bound on the KL hardly lets it move; null: none"
)
LOG_STD_COOLDOWN = (
    "how far a log standard deviation that all states share falls over the last tenth of "
    "training, at least, and its floor with it: the last policy explores less"
)
NORMALIZE = "running mean and variance of observations"
CLIP = "bound on normalised observations"
LOG_STD = (
    "log standard deviation: shared, one of each action for all states; state, the network's, "
    "within 3 of init_log_std"
)


PRECISION = (
    "what the layers compute in (parameters and the last layer stay float32); auto: bfloat16 for "
    "all rules but those that bound the KL where the processor is made for it, otherwise float32"
)


@dataclass
class VectorConfig:
    """The settings of a policy on vectors of numbers."""

    output_gain: float = setting(help="gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(help=INIT_LOG_STD, when=CONTINUOUS)
    min_log_std: float | None = setting(help=MIN_LOG_STD, when=SHARED_STD, before=None)
    log_std_cooldown: float = setting(help=LOG_STD_COOLDOWN, low=0, when=SHARED_STD)
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
    min_log_std: float | None = setting(help=MIN_LOG_STD, when=SHARED_STD, before=None)
    log_std_cooldown: float = setting(help=LOG_STD_COOLDOWN, low=0, when=SHARED_STD)
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


@dataclass
class RecurrentConfig(VectorConfig):
    """The settings of a policy that remembers. cell: its recurrent cell, see `models.cells`."""

    cell: ClassVar[str]

    memory_size: int = setting(help="units of the recurrent cell", low=1)
    sequence_length: int | None = setting(
        help="steps that gradients go back through, a divisor of sampler.steps_per_env; null: all "
        "of the rollout",
        low=1,
    )
    hidden_sizes: list[int] = setting(help="units of each hidden layer behind the cell", low=1)
    activation: str = setting(help="hidden activation", choices=ACTIVATIONS)
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
        from trpo_cli.models.policy import Policy
        from trpo_cli.models.recurrent import RecurrentNetwork

        first = self.init_log_std if self.log_std == "state" else None
        head = make_head(action_space, self.actions, first, self.min_log_std)
        inputs, units = math.prod(observation_space.shape), self.memory_size
        mlp = MLP([inputs + units, *self.hidden_sizes, head.num_outputs], self.activation)
        network = RecurrentNetwork(inputs, self.cell, units, mlp, self.sequence_length)
        normalizer, parameters = start(self, network, head, observation_space, generator)
        return Policy(network, head, normalizer, parameters)

    def check(self, config: Any) -> None:
        """Raise `UserError` where rollouts cannot be cut into such sequences."""
        steps, length = config.sampler.steps_per_env, self.sequence_length
        if length is not None and steps % length:
            raise UserError(
                f"policy.sequence_length={length} does not divide sampler.steps_per_env={steps}: "
                "rollouts are cut into sequences of that many steps. Try one that does, or null."
            )


def start(
    settings: VectorConfig,
    network: MLP | RecurrentNetwork,
    head: Head,
    observation_space: spaces.Box,
    generator: np.random.Generator,
) -> tuple[Normalizer, np.ndarray]:
    """A normaliser without data, and the first parameters of network and head, (P,)."""
    from trpo_cli.models.normalizer import Normalizer

    normalizer = Normalizer(
        observation_space.shape, settings.observation_clip, settings.normalize_observations
    )
    size = network.num_parameters
    parameters = np.zeros(size + head.num_extra, dtype=np.float32)
    network.initialize(parameters[:size], generator, settings.output_gain)
    parameters[size:] = settings.init_log_std
    return normalizer, parameters


def mlp_policy(
    settings: VectorConfig,
    mlp: MLP,
    head: Head,
    observation_space: spaces.Box,
    generator: np.random.Generator,
    device: str,
) -> Policy:
    """A policy on an MLP: in closed form, in numpy on a CPU and in torch on another device."""
    from trpo_cli.models.policy import Policy

    normalizer, parameters = start(settings, mlp, head, observation_space, generator)
    if device == "cpu":
        return Policy(mlp, head, normalizer, parameters)
    from trpo_cli.models.torch_mlp import TorchMLP

    network = TorchMLP(mlp, device)
    return Policy(network, head, normalizer, network.to_device(parameters))
