"""What every sampler is, and the world that it is built in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trpo_cli.distributed.processes import ALONE, Processes

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue
    from trpo_cli.simulators.base import Simulator


@dataclass(frozen=True)
class World:
    """What a run is put together in: its root seed, the threads of this process, the processes, and
    the device of its networks as torch names it; "cpu" stands for numpy's arrays."""

    seed: int
    threads: int = 1
    processes: Processes = ALONE
    device: str = "cpu"


class Sampler(Protocol):
    """Runs a policy in simulators and records what happened."""

    simulators: list[Simulator]

    def collect(
        self,
        policy: Policy,
        generator: np.random.Generator,
        value: StateValue,
        branching: np.random.Generator,
    ) -> Any:
        """One iteration's experience: `Trajectories`, or `Evaluations` of perturbed policies.

        generator: the noise of actions (or of parameters); branching: whatever else is drawn.
        value: for what is not simulated to its end.
        """
        ...

    def metrics(self, records: Any) -> dict[str, Any]:
        """What only this sampler knows of its records."""
        ...

    @property
    def why_not_restorable(self) -> str:
        """Why the episodes in progress cannot be saved; empty when they can."""
        ...

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The episodes in progress: arrays, and what JSON holds (see `samplers.episodes`)."""
        ...

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        """Go on with saved episodes; returns why that is not possible, or "". Then `restart`."""
        ...

    def restart(self, generator: np.random.Generator) -> None:
        """New episodes everywhere, their seeds drawn from the generator."""
        ...

    def close(self) -> None: ...
