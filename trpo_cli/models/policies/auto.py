"""The policy that fits the observations and the update rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trpo_cli.components import AutoTraits, RuleTraits, component
from trpo_cli.settings import setting


def choose(rule: RuleTraits, images: bool) -> str:
    """A natural step through the large network would cost more than the rest of a run."""
    if not images:
        return "mlp"
    return "trpo_cnn" if rule.bounds_kl else "nature_cnn"


@component("policy")
@dataclass
class AutoPolicyConfig:
    """mlp for vectors of numbers; for images nature_cnn, or trpo_cnn with NPG and TRPO."""

    traits: ClassVar = AutoTraits(choose, "mlp")

    given: dict[str, Any] = setting({}, "settings for whatever is chosen")
