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

    def sequences(self, inputs: np.ndarray, length: int | None = None) -> Sequences:
        """All samples in time, from network inputs (T * N, d), step-major. length: L, of which T is
        a multiple: T / L sequences of an environment lie side by side, each from what was
        remembered when it was acted; None: T."""
        steps, envs, size = self.states.shape
        length = length or steps
        parts = steps // length

        def beside(x: np.ndarray) -> np.ndarray:
            """(T, N, ...) as (L, T / L * N, ...)."""
            shape = x.shape[2:]
            split = x.reshape(parts, length, envs, *shape).swapaxes(0, 1)
            return np.ascontiguousarray(split).reshape(length, parts * envs, *shape)

        numbers = beside(np.arange(steps * envs).reshape(steps, envs)).reshape(-1)
        return Sequences(
            beside(inputs.reshape(steps, envs, -1)),
            self.states[::length].reshape(parts * envs, size),
            beside(self.begins),
            np.argsort(numbers),  # where each sample lies
        )

    def beside(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (T * N + N + E, d) of all, of the last and of the final observations, with what
        was remembered beside them, (..., d + S): what a value function sees."""
        size = self.states.shape[2]
        states = np.concatenate([self.states.reshape(-1, size), self.last, self.final])
        return np.concatenate([inputs, states.astype(inputs.dtype)], axis=1)


@dataclass(frozen=True)
class Together:
    """Which samples of a step-major batch of all processes are a sequence: `length` successive
    steps of one of `envs` environments. Sequences are numbered by time and then by environment."""

    envs: int
    length: int

    def count(self, size: int) -> int:
        """How many sequences `size` samples are."""
        return size // self.length

    def members(self, sequences: np.ndarray) -> np.ndarray:
        """The numbers of the samples of some sequences, one after the other, each in time."""
        parts, envs = np.divmod(sequences[:, None], self.envs)
        times = parts * self.length + np.arange(self.length)
        return np.asarray((times * self.envs + envs).reshape(-1))

    def halves(self, size: int) -> list[tuple[np.ndarray, Together]]:
        """The numbers of the samples of the earlier and of the later sequences, or of the first and
        of the last environments where each has one, and which of them are together; none of a
        single sequence."""
        parts, cut = self.count(size) // self.envs // 2, self.envs // 2
        if parts:
            first, last = np.split(np.arange(size), [parts * self.length * self.envs])
            return [(first, self), (last, self)]
        if not cut:
            return []
        later = np.arange(size) % self.envs >= cut
        return [
            (np.flatnonzero(~later), replace(self, envs=cut)),
            (np.flatnonzero(later), replace(self, envs=self.envs - cut)),
        ]
