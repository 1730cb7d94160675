from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support.small import numpy
from trpo_cli.algos.dual import Dual, DualConfig
from trpo_cli.algos.npg import NPG, NPGConfig
from trpo_cli.algos.ppo import PPO, PPOConfig
from trpo_cli.algos.ppo_penalty import PPOPenalty, PPOPenaltyConfig
from trpo_cli.algos.trpo import TRPO, TRPOConfig
from trpo_cli.algos.vpg import VPG, VPGConfig
from trpo_cli.data.records import Batch
from trpo_cli.models.policy import Policy

BUILD: dict[str, Callable[..., Any]] = {
    "vpg": lambda policy, **settings: VPG(VPGConfig(**settings), policy),
    "npg": lambda policy, **settings: NPG(NPGConfig(**settings)),
    "trpo": lambda policy, **settings: TRPO(TRPOConfig(**settings)),
    "ppo": lambda policy, **settings: PPO(PPOConfig(**settings), policy),
    "ppo_penalty": lambda policy, **settings: PPOPenalty(PPOPenaltyConfig(**settings), policy),
    "dual": lambda policy, **settings: Dual(DualConfig(**settings), policy),
}


class Updated:
    """One update of a policy: parameters before and after, and the row of metrics."""

    def __init__(self, policy: Policy, batch: Batch, name: str, seed: int, settings: Any) -> None:
        self.policy, self.batch = policy, batch
        self.before = numpy(policy.parameters).copy()
        algorithm = BUILD[name](policy, **settings)
        self.metrics = algorithm.update(policy, batch, np.random.default_rng(seed), 1.0)
        self.after = numpy(policy.parameters)

    @property
    def step(self) -> np.ndarray:
        return self.after - self.before

    def __getitem__(self, key: str) -> Any:
        return self.metrics[key]


@pytest.fixture
def update() -> Callable[..., Updated]:
    """Applies one update rule, named as on the command line."""

    def call(
        name: str, policy: Policy, batch: Batch, *, generator: int = 0, **settings: Any
    ) -> Updated:
        return Updated(policy, batch, name, generator, settings)

    return call
