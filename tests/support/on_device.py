"""A simulator of numpy's arrays behind the methods of one on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from trpo_cli.simulators.device import DeviceStep


class OnDevice:
    """The `DeviceSimulator` protocol on a simulator of the CPU, whatever is not here included."""

    device = torch.device("cpu")
    backend = "on_device"

    def __init__(self, simulator: Any) -> None:
        self._simulator = simulator
        self.observations = torch.empty(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulator, name)

    @property
    def elapsed(self) -> torch.Tensor:
        return torch.from_numpy(self._simulator.simulations.elapsed)  # the same memory

    def _seen(self, observations: np.ndarray) -> np.ndarray:
        self.observations = torch.from_numpy(observations.astype(np.float32))
        return observations

    def reset(self, ids: Any = None, seed: Any = None) -> np.ndarray:
        return self._seen(self._simulator.reset(ids, seed))

    def restore(self, snapshot: Any, ids: Any = None) -> np.ndarray:
        return self._seen(self._simulator.restore(snapshot, ids))

    def advance(self, actions: torch.Tensor) -> DeviceStep:
        step = self._simulator.step(actions.numpy().astype(np.float64))
        self._seen(step.observations)
        finals = self.observations.clone()
        finals[step.ended] = torch.from_numpy(step.final_observations.astype(np.float32))
        return DeviceStep(
            self.observations,
            finals,
            torch.from_numpy(step.rewards.astype(np.float32)),
            torch.from_numpy(step.terminated),
            torch.from_numpy(step.truncated),
            torch.zeros(self.num_envs, dtype=torch.bool),
        )

    def warn(self) -> None:
        """It has room for everything."""
