"""A policy that remembers by a gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import PolicyTraits, component
from trpo_cli.models.policies.base import RecurrentConfig


@component("policy")
@dataclass
class GRUPolicyConfig(RecurrentConfig):
    """Policy that remembers its episode: gated recurrent unit (Cho et al. 2014) and MLP."""

    traits: ClassVar = PolicyTraits(remembers=True)
    cell: ClassVar = "gru"
