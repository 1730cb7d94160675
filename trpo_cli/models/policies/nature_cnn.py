"""The convolutional network of Mnih et al. (2015), for images.

32 8x8/4, 64 4x4/2, 64 3x3/1, 512 units: 1.69 million parameters on 4 frames of 84 x 84.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import PolicyTraits, component
from trpo_cli.models.policies.base import CNNConfig


@component("policy")
@dataclass
class NatureCNNPolicyConfig(CNNConfig):
    """Three convolutions and 512 units (Mnih et al. 2015), for images."""

    traits: ClassVar = PolicyTraits(images=True)
    convolutions: ClassVar = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
