"""A policy that remembers by long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trpo_cli.components import PolicyTraits, component
from trpo_cli.models.policies.base import RecurrentConfig


@component("policy")
@dataclass
class LSTMPolicyConfig(RecurrentConfig):
    """Policy that remembers its episode: long short-term memory (Hochreiter & Schmidhuber 1997)
    and MLP."""

    traits: ClassVar = PolicyTraits(remembers=True)
    cell: ClassVar = "lstm"
