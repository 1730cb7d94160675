"""``trpo_cli/LQR-v0``: a linear system with quadratic costs as a Gymnasium environment.

    observation x,   action u,   x' = A x + B u + w,   reward = -(x'Qx + u'Ru)

Importing this module registers it; elsewhere write
``gymnasium.make("trpo_cli.simulators.lqr.environment:trpo_cli/LQR-v0")``. An episode has no end of
its own, only a time limit (100 steps unless told).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from trpo_cli.simulators.lqr.systems import LinearSystem, make_system

ID = "trpo_cli/LQR-v0"
ENTRY_POINT = "trpo_cli.simulators.lqr.environment:LQREnv"
HORIZON = 100


class Dynamics:
    """Steps of many copies at once: states (N, n), actions (N, m).

    Every copy's row is computed by products of one size, so that it does not depend on N, to the
    bit. One generator per copy gives what it draws.
    """

    def __init__(self, system: LinearSystem) -> None:
        self.system = system
        self._start, self._noise = _root(system.start), _root(system.noise)
        self._noisy = bool(system.noise.any())

    def begin(self, generator: np.random.Generator) -> np.ndarray:
        """x_0 (n,)."""
        return self._start @ generator.standard_normal(self.system.states)

    def step(
        self, states: np.ndarray, actions: np.ndarray, generators: list[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The next states (N, n) and the rewards (N,)."""
        system = self.system
        x, u = states[:, :, None], actions[:, :, None]
        after = system.A @ x + system.B @ u
        if self._noisy:
            drawn = [generator.standard_normal(system.states) for generator in generators]
            after += self._noise @ np.reshape(drawn, states.shape)[:, :, None]
        paid = (x * (system.Q @ x)).sum(axis=1) + (u * (system.R @ u)).sum(axis=1)
        return after[:, :, 0], -paid[:, 0]


class LQREnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """The keyword arguments are those of `systems.make_system`, without the discount: it belongs
    to the algorithm (``discount=``). Without any: a random stable system of two states and one
    action, the same for the same `system_seed`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, render_mode: None = None, **system: Any) -> None:
        self.dynamics = Dynamics(make_system(**system))
        shape = self.dynamics.system
        self.observation_space = spaces.Box(-np.inf, np.inf, (shape.states,), np.float64)
        self.action_space = spaces.Box(-np.inf, np.inf, (shape.actions,), np.float64)
        self._state = np.zeros(shape.states)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = self.dynamics.begin(self.np_random)
        return self._state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        actions = np.asarray(action, dtype=np.float64).reshape(1, -1)
        after, rewards = self.dynamics.step(self._state[None], actions, [self.np_random])
        self._state = after[0]
        return self._state.copy(), float(rewards[0]), False, False, {}


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root C of a covariance: C z has it, for standard normal z."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


gymnasium.register(ID, entry_point=ENTRY_POINT, max_episode_steps=HORIZON)
