"""The convolutional network of the TRPO paper (Schulman et al. 2015), for images.

"Two convolutional layers with 16 channels and stride 2, followed by one fully-connected layer with
20 units, yielding 33,500 parameters". The paper gives neither kernels nor frame size. With 4x4
kernels on 4 frames of 52 x 40, a quarter of the 210 x 160 screen:

    4*4*4*16 + 16                       =  1,040
    16*4*4*16 + 16                      =  4,112
    (16 * 11 * 8) * 20 + 20             = 28,180     52 x 40 -> 25 x 19 -> 11 x 8
    20 * actions + actions              =    126     6 actions; 18 actions: 378
                                          33,458

That is ``policy.hidden_size=20``. The default is 256: with 20, returns on Breakout stay those of
random actions (docs/results.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import PolicyTraits, component
from trpo_cli.models.policies.base import CNNConfig


@component("policy")
@dataclass
class TRPOCNNPolicyConfig(CNNConfig):
    """The two convolutions of the TRPO paper (Schulman et al. 2015) and 256 units, for images."""

    traits: ClassVar = PolicyTraits(images=True)
    convolutions: ClassVar = ((16, 4, 2), (16, 4, 2))
    frame: ClassVar = (52, 40)
