"""Simulators whose environments live on a device: torch tensors in, torch tensors out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from trpo_cli.simulators.base import Simulator


class DeviceStep(NamedTuple):
    """What N environments returned for one step, on their device; the next step reuses it.

    observations: (N, d) float32, already the next episode's first where one ended.
    final_observations: (N, d) float32, what was seen before any new episode.
    rewards: (N,) float32. terminated, truncated, failed: (N,) bool; a failed simulation counts as
        terminated, and no environment is both terminated and truncated.
    """

    observations: Tensor
    final_observations: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    failed: Tensor


class DeviceSimulator(Simulator, Protocol):
    """N environments on a device."""

    device: torch.device

    @property
    def observations(self) -> Tensor:
        """(N, d) float32, what each environment shows now; the next step changes it."""
        ...

    @property
    def elapsed(self) -> Tensor:
        """(N,) int64, steps of the episode so far, by which the time limit counts. It may be
        written to."""
        ...

    def advance(self, actions: Tensor) -> DeviceStep:
        """One control step of all environments; actions (N, A) float32, as they take them. It is
        queued: nobody waits for the device."""
        ...

    def warn(self) -> None:
        """Say once what the simulation had no room for; until then it waits for the device."""
        ...
