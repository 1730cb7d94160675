"""From a configuration to its update rule."""

from __future__ import annotations

from typing import Any

from trpo_cli.algos.base import Algorithm
from trpo_cli.algos.dual import Dual
from trpo_cli.algos.es import ES
from trpo_cli.algos.npg import NPG
from trpo_cli.algos.ppo import PPO
from trpo_cli.algos.ppo_penalty import PPOPenalty
from trpo_cli.algos.trpo import TRPO
from trpo_cli.algos.vpg import VPG
from trpo_cli.models.policies import Policy


def build_algorithm(config: Any, policy: Policy, value_coef: float = 0.0) -> Algorithm | ES:
    """The update rule that a configuration names.

    value_coef: see `VPG` and `PPO`.
    """
    match config.name:
        case "vpg":
            return VPG(config, policy, value_coef)
        case "npg":
            return NPG(config)
        case "trpo":
            return TRPO(config)
        case "ppo":
            return PPO(config, policy, value_coef)
        case "ppo_penalty":
            return PPOPenalty(config, policy, value_coef)
        case "dual":
            return Dual(config, policy, value_coef)
        case "es":
            return ES(config, policy)
    raise ValueError(f"no algorithm is called {config.name}")
