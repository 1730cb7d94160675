"""What a policy remembers, and samples that its network reads in the order of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sequences:
    """R samples out of T steps of N environments, for a network that remembers.

    inputs: (T, N, d), network inputs of all steps. states: (N, S), what the network remembers
    before the first of them. begins: (T, N) bool, an episode begins with this step: nothing is
    remembered there. rows: (R,) int64, the samples that are asked for, distinct numbers t * N + n.

    A sample's output depends on all earlier steps of its episode that are here, and so does its
    gradient: back-propagation through time, truncated at the first step.
    """

    inputs: np.ndarray
    states: np.ndarray
    begins: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Sequences:
        """Some of the samples (a slice or an index array), with what came before them: neither
        environments without any of them nor later steps are kept."""
        steps, envs = self.begins.shape
        chosen = self.rows[rows]
        times, columns = np.divmod(chosen, envs)
        used, places = np.unique(columns, return_inverse=True)
        end = int(times.max(initial=-1)) + 1
        if len(used) == envs and end == steps:
            return replace(self, rows=chosen)
        return Sequences(
            self.inputs[:end, used],
            self.states[used],
            self.begins[:end, used],
            times * len(used) + places,
        )


@dataclass(frozen=True)
class Memory:
    """What a policy remembered over T steps of N environments, S numbers each time.

    states: (T, N, S), before each step. last: (N, S), after the last step. final: (E, S), when an
    ended episode's last observation was seen. begins: (T, N) bool, see `Sequences`.
    """

    states: np.ndarray
    last: np.ndarray
    final: np.ndarray
    begins: np.ndarray

    def sequences(self, inputs: np.ndarray) -> Sequences:
        """All samples in time, from network inputs (T * N, d), step-major."""
        steps, envs, _ = self.states.shape
        rows = np.arange(steps * envs)
        return Sequences(inputs.reshape(steps, envs, -1), self.states[0], self.begins, rows)

    def beside(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (T * N + N + E, d) of all, of the last and of the final observations, with what
        was remembered beside them, (..., d + S): what a value function sees."""
        size = self.states.shape[2]
        states = np.concatenate([self.states.reshape(-1, size), self.last, self.final])
        return np.concatenate([inputs, states.astype(inputs.dtype)], axis=1)


def members(sequences: np.ndarray, count: int, size: int) -> np.ndarray:
    """The numbers of the samples of some of `count` sequences, one sequence after the other, each
    in time; `size` samples lie step-major in all."""
    times = np.arange(size // count)
    return np.asarray((sequences[:, None] + count * times).reshape(-1))
