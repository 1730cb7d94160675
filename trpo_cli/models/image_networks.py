"""Networks for images, as the configuration names them.

nature_cnn (Mnih et al. 2015): 32 8x8/4, 64 4x4/2, 64 3x3/1, 512 units; 1.69 million parameters on
4 frames of 84 x 84.

trpo_cnn (Schulman et al. 2015): "two convolutional layers with 16 channels and stride 2, followed
by one fully-connected layer with 20 units, yielding 33,500 parameters". The paper gives neither
kernels nor frame size. With 4x4 kernels on 4 frames of 52 x 40, a quarter of the 210 x 160 screen:

    4*4*4*16 + 16                       =  1,040
    16*4*4*16 + 16                      =  4,112
    (16 * 11 * 8) * 20 + 20             = 28,180     52 x 40 -> 25 x 19 -> 11 x 8
    20 * actions + actions              =    126     6 actions; 18 actions: 378
                                          33,458
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from trpo_cli.data.frames import colours_last
from trpo_cli.errors import UserError
from trpo_cli.models.conv import ConvNet, keep_freed_memory
from trpo_cli.models.policies import CONVOLUTIONS


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
            CONVOLUTIONS[config.name],
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
