"""A policy at work in environments side by side, with what it remembers of each episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


class Acting:
    """states: (n, S), what is remembered in each of n environments, written in place; S is 0 of a
    policy that acts on each observation by itself."""

    def __init__(self, policy: Policy, states: np.ndarray) -> None:
        self._policy, self.states = policy, states

    @classmethod
    def afresh(cls, policy: Policy, n: int) -> Acting:
        """Where n episodes begin: nothing is remembered."""
        return cls(policy, nothing_remembered(policy, n))

    def act(self, observations: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Actions (n, A) in the policy's units for raw observations (n, *obs), which are remembered
        from here on. noise: see `Policy.act`."""
        if not self.states.shape[1]:
            return self._policy.act(observations, noise)
        actions, self.states[...] = self._policy.act_after(self.states, observations, noise)
        return actions

    def forget(self, ids: Sequence[int] | np.ndarray) -> None:
        """New episodes begin in these environments."""
        self.states[ids] = 0.0


def nothing_remembered(policy: Policy, n: int) -> np.ndarray:
    """(n, S) zeros, float32."""
    return np.zeros((n, policy.state_size), dtype=np.float32)
