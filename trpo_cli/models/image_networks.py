"""Networks for images, as a policy's settings describe them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from trpo_cli.data.frames import colours_last
from trpo_cli.errors import UserError
from trpo_cli.models.allocator import keep_freed_memory
from trpo_cli.models.conv import ConvNet
from trpo_cli.models.heads import make_head
from trpo_cli.models.normalizer import IdentityNormalizer
from trpo_cli.models.policy import Policy


def image_network(
    config: Any,
    space: spaces.Box,
    outputs: int,
    generator: np.random.Generator,
    output_gain: float,
    device: str,
) -> tuple[ConvNet, np.ndarray]:
    """The network of a policy's configuration with so many outputs, and its first parameters."""
    shape = space.shape
    if colours_last(shape):
        shape = (shape[2], shape[0], shape[1])
    try:
        network = ConvNet(
            shape,
            config.convolutions,
            config.hidden_size,
            outputs,
            config.activation,
            device,
            config.precision,
        )
    except ValueError as error:
        raise UserError(f"policy={config.name} cannot be used: {error}.") from error
    if network.device.type == "cpu":
        keep_freed_memory()
    start = torch.zeros(network.num_parameters)
    network.initialize(start, generator, output_gain)
    return network, start.numpy()


def image_policy(
    settings: Any,
    observation_space: spaces.Box,
    action_space: spaces.Space[Any],
    generator: np.random.Generator,
    device: str,
    with_value: bool,
) -> Policy:
    """A policy on a convolutional network, with V(s) in one more column if asked for."""
    head = make_head(action_space, settings.actions, min_log_std=settings.min_log_std)
    columns = head.num_outputs + with_value
    network, start = image_network(
        settings, observation_space, columns, generator, settings.output_gain, device
    )
    extra = np.full(head.num_extra, settings.init_log_std, dtype=np.float32)
    parameters = network.to_device(np.concatenate([start, extra]))
    return Policy(network, head, IdentityNormalizer(), parameters)
