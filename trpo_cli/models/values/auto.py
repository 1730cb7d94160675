"""The value function that fits the policy and the update rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trpo_cli.components import AutoTraits, RuleTraits, component
from trpo_cli.settings import setting


def choose(rule: RuleTraits, images: bool) -> str:
    if not images:
        return "mlp"
    return "cnn" if rule.bounds_kl else "shared"


@component("value")
@dataclass
class AutoValueConfig:
    """mlp for vectors of numbers; for images shared, or cnn with NPG and TRPO."""

    traits: ClassVar = AutoTraits(choose, "mlp")

    given: dict[str, Any] = setting({}, "settings for whatever is chosen")
